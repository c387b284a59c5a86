"""Looks at the host: observes a cluster and plans for it, and changes nothing."""

from collections.abc import Awaitable, Callable, Set
from datetime import UTC, datetime

from reconciler.controller.conditions import not_looked_at, obstacle_of, status_of_failed_round, status_of_look
from reconciler.controller.decision import is_drift
from reconciler.controller.origins import lineage_of
from reconciler.controller.part_report import reported, with_nodes_elsewhere, with_others
from reconciler.controller.parts import Parts
from reconciler.controller.round_input import RoundInput, round_input_of
from reconciler.controller.round_results import Look, PlannedDifference
from reconciler.desired.compile import HostFacts, compile_document, warnings_for
from reconciler.errors import ClusterError, error_to_answer
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.plan import Plan
from reconciler.model.record import EVERYTHING, ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.observe.cluster import FoundDomains, observe_cluster
from reconciler.observe.verification import memory_obstacles, revert_obstacles
from reconciler.plan.drift_filter import Drift, withhold
from reconciler.plan.link_planner import plan_links
from reconciler.plan.planner import plan
from reconciler.store.protocol import Store


class Looks:
    """What is observed of clusters on one host, and what a round would do about it."""

    def __init__(
        self,
        store: Store,
        libvirt: Libvirt,
        links: LinkDriver,
        host_facts: Callable[[ClusterRecord], Awaitable[HostFacts]],
    ) -> None:
        self.parts = Parts(store)
        self._store = store
        self._host = store.own_host
        self._libvirt = libvirt
        self._links = links
        self._host_facts = host_facts

    async def compare(self, record: ClusterRecord, observed: ClusterDocument | None = None) -> PlannedDifference:
        """Plan for a record, written or not, from a current or recent observation."""
        part, before = await self.parts.of(record), await self.parts.last_word(record.cluster_name)
        view = RoundInput(part, before, request=0, retries=None, put_off={}, whole=record, host=self._host)
        return await self.difference(view, observed, consent=frozenset({EVERYTHING}))

    async def observe(self, record: ClusterRecord, found: FoundDomains | None = None) -> ClusterDocument:
        """The observed document of a cluster. `found` is as for `observe_cluster`."""
        return await self._observe(await self.parts.of(record), found)

    async def _observe(self, part: ClusterRecord, found: FoundDomains | None = None) -> ClusterDocument:
        return await observe_cluster(part, self._libvirt, self._links, found)

    async def difference(
        self,
        view: RoundInput,
        observed: ClusterDocument | None = None,
        put_off: Set[str] | None = None,
        consent: Set[str] | None = None,
    ) -> PlannedDifference:
        """The plan for a view. By default the view says whose upkeep is postponed, the record what may be lost."""
        record, before = view.record, view.before
        facts = await self._host_facts(record)
        observed = observed or await self._observe(record)
        made = before.snapshots_made if before else frozenset()
        lineage = await lineage_of(self._store, record, observed)
        desired = compile_document(record, facts, observed, made, lineage, now=datetime.now(UTC))
        put_off = view.put_off.keys() if put_off is None else put_off
        todo = plan(desired, observed, put_off, frozenset(record.consent) if consent is None else consent)
        return PlannedDifference(desired, observed, todo, warnings_for(record, facts))

    async def link_plan(self, part: ClusterRecord) -> Plan:
        """What makes the links of a host's part as desired. Needs no store."""
        observed = await self._observe(part)
        desired = compile_document(part, await self._host_facts(part), observed, now=datetime.now(UTC))
        return Plan(actions=tuple(plan_links(desired, observed, ())))

    async def look(self, cluster: str, found: FoundDomains | None = None) -> Look | None:
        """The current state of a cluster; None without a record. `found` is as for `observe_cluster`.

        Of other hosts' parts it is what they saw last.
        """
        standing = await self._store.standing(cluster)
        if standing is None:
            return None
        view = round_input_of(standing, None, self._host)
        if view.is_elsewhere:
            return _look(view, None, ClusterDocument())
        observed = None
        try:
            view = await self.parts.joined(view)
            observed = await self._observe(view.record, found)
            difference = await self.difference(view, observed, put_off=view.upkeep_put_off)
        except (ClusterError, OSError) as caught:
            error, now = error_to_answer(caught), datetime.now(UTC)
            failed = status_of_failed_round(view.record, obstacle_of(error), view.before, now)
            return _look(view, failed, observed, error)
        return _look(view, _status_of_look(view, difference), observed)

    async def revert_obstacles(
        self, record: ClusterRecord, name: str, snapshot: Snapshot, observed: ClusterDocument
    ) -> list[str]:
        """The problems that would prevent the revert in a record that is not yet written."""
        now, here = await self.compare(record, observed), await self.parts.nodes_here(record)
        snapshot = snapshot.model_copy(
            update={"nodes": {node: of for node, of in snapshot.nodes.items() if node in here}}
        )
        return await revert_obstacles(name, snapshot, record, now.desired, now.observed, self._libvirt)

    async def memory_obstacles(self, desired: ClusterDocument) -> list[str]:
        """What would prevent nodes from continuing from a snapshot's memory as is desired."""
        return await memory_obstacles(desired, self._libvirt)


def _look(
    view: RoundInput, own: RecordStatus | None, observed: ClusterDocument | None, error: ClusterError | None = None
) -> Look:
    """A look at the whole cluster, of which this host says `own`."""
    if view.hosts is None:
        assert own is not None
        return Look(view.whole, own, observed, error)
    own = reported(own, view, observed) if own else None
    status = with_others(view, own) or not_looked_at(view.whole, datetime.now(UTC))
    if observed is not None:
        observed = with_nodes_elsewhere(observed, view.whole, view.host, view.hosts)
    return Look(view.whole, status, observed, error)


def _status_of_look(view: RoundInput, difference: PlannedDifference) -> RecordStatus:
    """The drift policy decides about differences from a record that was fully applied."""
    drift = withhold(difference.plan, view.record.spec.drift) if view.settled else Drift(difference.plan)
    drifted = view.settled and is_drift(drift.todo)
    now = datetime.now(UTC)
    return status_of_look(view.record, difference.observed, drift, view.before, now, drifted=drifted)
