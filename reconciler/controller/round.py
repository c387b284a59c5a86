"""One round: observe, compile what is wanted, plan, act, and say how it went."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Set
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from reconciler.act.binding import bind_copies
from reconciler.act.consoles import CONSOLE_LIMIT_BYTES, bound_consoles
from reconciler.act.context import ActContext
from reconciler.act.outcome import Checkpoint, Outcome
from reconciler.act.runner import carry_out
from reconciler.controller.amendments import with_booted_files, with_ended_nodes, without_expired_faults
from reconciler.controller.fault_export import FaultExport
from reconciler.controller.findings import Foreseen, Look, PlannedDifference, RoundResult, Sighting
from reconciler.controller.journal import EventJournal, OnEvent, no_observer
from reconciler.controller.origins import lineage_of, origin_of_round, sign_what_is_due
from reconciler.controller.retries import Retries
from reconciler.controller.status import obstacle_of, status_after, status_of_failed_round, status_of_look
from reconciler.controller.view import View, view_of
from reconciler.desired.addresses import guest_address
from reconciler.desired.compile import HostFacts, compile_document, seed_inputs, warnings_for
from reconciler.desired.file_uses import recorded_uses
from reconciler.errors import ClusterError, explained
from reconciler.guest.pool import SshPool
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.disks.manifests import read_manifests, remove_traces
from reconciler.host.libvirt.driver import Libvirt
from reconciler.host.links.driver import LinkDriver
from reconciler.model.document import ClusterDocument, Power, Snapshot, Unknown
from reconciler.model.origin import Origin
from reconciler.model.plan import FlattenLayer, Plan
from reconciler.model.record import EVERYTHING, ClusterRecord
from reconciler.model.snapshot import Manifest
from reconciler.model.status import Obstacle, RecordStatus
from reconciler.observe.cluster import FoundDomains, observe_cluster
from reconciler.observe.verification import revert_obstacles
from reconciler.plan.consent import addresses_lost
from reconciler.plan.drift import Drift, withhold
from reconciler.plan.planner import plan
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)


class Rounds:
    """Rounds on one host. The caller holds the leases of the store and of the host while one runs."""

    def __init__(
        self,
        store: Store,
        libvirt: Libvirt,
        links: LinkDriver,
        ssh: SshPool,
        host_facts: Callable[[ClusterRecord], Awaitable[HostFacts]],
        fault_registry: Path,
        checkpoint: Checkpoint = lambda _name: None,
        remove_leavings: Callable[[str], None] = lambda _cluster: None,
        console_limit_bytes: int = CONSOLE_LIMIT_BYTES,
    ) -> None:
        self._store = store
        self._libvirt = libvirt
        self._links = links
        self._layers = LayerDriver()
        self._ssh = ssh
        self._host_facts = host_facts
        self._export = FaultExport(fault_registry, store)
        self._checkpoint = checkpoint
        self._remove_leavings = remove_leavings
        self._console_limit_bytes = console_limit_bytes
        self._stopping = False

    async def compare(self, record: ClusterRecord, observed: ClusterDocument | None = None) -> PlannedDifference:
        """Plan for a record, written or not, from what is observed now or was just now; changes nothing."""
        status = await self._store.status(record.cluster_name)
        return await self._compare(record, status, observed)

    async def _compare(
        self,
        record: ClusterRecord,
        status: RecordStatus | None,
        observed: ClusterDocument | None = None,
        put_off: Set[str] = frozenset(),
        consent: Set[str] = frozenset({EVERYTHING}),
    ) -> PlannedDifference:
        """The upkeep of the nodes in `put_off` is left for later; what `consent` does not name is not lost."""
        facts = await self._host_facts(record)
        observed = observed or await observe_cluster(record, self._libvirt, self._links)
        made = status.snapshots_made if status else frozenset()
        lineage = await lineage_of(self._store, record, observed)
        desired = compile_document(record, facts, observed, made, lineage, now=datetime.now(UTC))
        todo = plan(desired, observed, put_off, consent)
        return PlannedDifference(desired, observed, todo, warnings_for(record, facts))

    async def manifests(self, record: ClusterRecord) -> list[Manifest]:
        """The snapshots of a cluster as they are on disk, oldest first."""
        return await asyncio.to_thread(read_manifests, record.spec.overlay_dir, record.cluster_name)

    async def heal_by_marks(self, cluster: str, taps: Collection[str]) -> int:
        """Take away all links of a cluster that has no record, by the marks that they carry on the host.

        Answers in how many places there were some: the firewall, and each tap.
        """
        shaped = await self._links.shaped_taps(taps)
        cut = await self._links.has_cuts(cluster)
        await self._links.clear(cluster, taps)
        await self._export.forget(cluster)
        return len(shaped) + cut

    async def bind_copies(self, record: ClusterRecord) -> bool:
        """Have the marks count that files of a cluster have from those of which they are copies; whether some had."""
        files = (*record.spec.extra_files, *record.former_files)
        bound = await asyncio.to_thread(bind_copies, record.spec.overlay_dir, record.cluster_name, files)
        if bound:
            log.info("copies_taken_up", cluster=record.cluster_name, files=[str(path) for path in bound])
        return bool(bound)

    async def look(self, cluster: str, found: FoundDomains | None = None) -> Look | None:
        """A cluster as it is now; None without a record. `found` is as for `observe_cluster`."""
        standing = await self._store.standing(cluster)
        if standing is None:
            return None
        view, observed = view_of(standing, None), None
        try:
            observed = await observe_cluster(view.record, self._libvirt, self._links, found)
            consent = frozenset(view.record.consent)
            difference = await self._compare(view.record, view.before, observed, view.upkeep_put_off, consent)
        except (ClusterError, OSError) as caught:
            error, now = explained(caught), datetime.now(UTC)
            failed = status_of_failed_round(view.record, obstacle_of(error), view.before, now)
            return Look(view.record, failed, observed, error)
        return Look(view.record, _status_of_look(view, difference), observed)

    async def revert_obstacles(self, record: ClusterRecord, name: str, snapshot: Snapshot) -> list[str]:
        """What keeps the cluster from being reverted as the record, not yet written, wants it; changes nothing."""
        now = await self.compare(record)
        return await revert_obstacles(name, snapshot, record, now.desired, now.observed, self._libvirt)

    def stop(self) -> None:
        """Begin no further action: this process is to end. What was begun is brought to its end."""
        self._stopping = True

    async def run(
        self,
        cluster: str,
        tell: OnEvent = no_observer,
        retries: Retries | None = None,
        foreseen: Foreseen | None = None,
    ) -> RoundResult:
        """One round on a cluster. A host that cannot be observed ends it with an error and without an action.

        With `retries`, nobody waits for the round: what failed lately is left alone for a while. What was `foreseen` is
        done as it was found, unless the record has changed since.
        """
        standing = await self._store.standing(cluster)
        record = None if standing is None else await without_expired_faults(self._store, standing.record)
        if standing is None or record is None:
            return RoundResult(gone=True)
        view = view_of(replace(standing, record=record), retries)
        same = foreseen is not None and foreseen.record.generation == record.generation
        result = await self._work(view, tell, _agreed(foreseen.difference, record) if foreseen and same else None)
        while failed := _failed_upkeep(result.outcomes, view):
            view = replace(view, put_off={**view.put_off, **failed})
            result = await self._work(view, tell)
        return result

    async def could_not_begin(self, cluster: str, retries: Retries, error: ClusterError) -> RoundResult:
        """A round that could not begin: the cluster's status says why."""
        standing = await self._store.standing(cluster)
        if standing is None:
            return RoundResult(gone=True)
        view = view_of(standing, retries)
        await self._report_failure(view, error)
        return RoundResult(view.record.generation, error=error, interfaces=_interfaces(view.record))

    async def _work(self, view: View, tell: OnEvent, difference: PlannedDifference | None = None) -> RoundResult:
        record = view.record
        try:
            consent = frozenset(record.consent)
            difference = difference or await self._compare(
                record, view.before, put_off=view.put_off.keys(), consent=consent
            )
        except (ClusterError, OSError) as caught:
            error = explained(caught)
            await self._report_failure(view, error)
            return RoundResult(record.generation, error=error, interfaces=_interfaces(record))
        now = record if difference.plan.foreign else await with_ended_nodes(self._store, record, difference.observed)
        if now is not record:
            return RoundResult(gone=True) if now is None else await self._work(replace(view, record=now), tell)
        return await self._act(view, difference, tell)

    async def _act(self, view: View, difference: PlannedDifference, tell: OnEvent) -> RoundResult:
        record, retries = view.record, view.retries
        if not difference.plan.foreign:
            await bound_consoles(record, self._console_limit_bytes)
        drift = withhold(difference.plan, record.spec.drift) if view.is_left_alone else Drift(difference.plan)
        todo = replace(drift.todo, actions=retries.allowed(drift.todo)) if retries else drift.todo
        now = await with_booted_files(self._store, record, todo)
        if now is not record:
            return RoundResult(gone=True) if now is None else await self._work(replace(view, record=now), tell)
        drifted = view.settled and _is_drift(drift.todo)
        journal = EventJournal(self._store, record, tell, drifted=drifted)
        journal.found(todo)
        origin = await origin_of_round(self._store, record, difference.observed, todo)
        context = self._context(record, origin, journal)
        if error := await sign_what_is_due(context, difference.observed, todo):
            await journal.close()
            await self._report_failure(view, error)
            return RoundResult(record.generation, error=error, interfaces=_interfaces(record))
        outcomes = await carry_out(todo, context) if todo.actions else []
        if record.deletion is not None and record.deletion.remove_overlays and difference.plan.converged:
            journal.faults(view.before, {})
            await journal.close()
            await self._forget(record)
            return RoundResult(record.generation, difference.plan, gone=True)
        look = None
        if _failed_upkeep(outcomes, view):
            await self._put_off(view, outcomes, journal)
        else:
            look = await self._report(view, difference, drift, todo, outcomes, journal)
        return RoundResult(
            record.generation,
            drift.todo,
            tuple(outcomes),
            interfaces=_interfaces(record),
            drifted=drifted,
            sighting=_sighting(record, difference.observed),
            look=look,
        )

    def _context(self, record: ClusterRecord, origin: Origin | None, journal: EventJournal) -> ActContext:
        return ActContext(
            record=record,
            origin=origin,
            libvirt=self._libvirt,
            layers=self._layers,
            links=self._links,
            ssh=self._ssh,
            seeds=seed_inputs(record),
            address_of=partial(guest_address, record),
            checkpoint=self._checkpoint,
            on_outcome=journal.ended,
            recorded_uses=lambda: recorded_uses(self._store),
            on_advance=journal.advanced,
            stopping=lambda: self._stopping,
        )

    async def _forget(self, record: ClusterRecord) -> None:
        """The last step of a deletion: nothing is left but the record."""
        await asyncio.to_thread(remove_traces, record.spec.overlay_dir, record.cluster_name)
        await self._export.forget(record.cluster_name)
        await asyncio.to_thread(self._remove_leavings, record.cluster_name)
        self._checkpoint("before Forget")
        await self._store.remove(record.cluster_name, expected_generation=record.generation, actor="controller")

    async def _report(
        self,
        view: View,
        difference: PlannedDifference,
        drift: Drift,
        todo: Plan,
        outcomes: list[Outcome],
        journal: EventJournal,
    ) -> Look:
        """`todo` is what of the drift's was to be done now: without what failed lately and is waited with."""
        failures = tuple(obstacle_of(outcome.error) for outcome in outcomes if outcome.error is not None)
        if view.retries is not None:
            view.retries.note(outcomes)
            failures = view.retries.obstacles(drift.todo)  # what failed is waited with
        now = datetime.now(UTC)
        status = status_after(
            view.record, difference.observed, todo, failures, view.before, now, drift.reported, view.put_off
        )
        status = view.marked(status, converged=difference.plan.converged)
        await self._write(view, status, journal)
        return Look(view.record, status, difference.observed)

    async def _put_off(self, view: View, outcomes: list[Outcome], journal: EventJournal) -> None:
        """Nothing is said of the cluster before what does not wait for its upkeep is done."""
        if view.retries is not None:
            view.retries.note(outcomes)
        await journal.close()

    async def _report_failure(self, view: View, error: ClusterError) -> None:
        log.warning("round_failed", cluster=view.record.cluster_name, code=error.code.value, cause=str(error))
        status = status_of_failed_round(view.record, obstacle_of(error), view.before, datetime.now(UTC))
        journal = EventJournal(self._store, view.record, no_observer, drifted=False)
        await self._write(view, view.marked(status, converged=False), journal)

    async def _write(self, view: View, status: RecordStatus, journal: EventJournal) -> None:
        """Events first: who waits for the status has then seen them."""
        journal.said(view.before, status)
        await journal.close()
        await self._export.put_status(status, view.before)


def _agreed(difference: PlannedDifference, record: ClusterRecord) -> PlannedDifference:
    """What was foreseen, as far as the record's generation may lose what it costs."""
    if addresses_lost(difference.desired, difference.observed) <= set(record.consent):
        return difference
    return replace(difference, plan=plan(difference.desired, difference.observed, consent=frozenset(record.consent)))


def _status_of_look(view: View, difference: PlannedDifference) -> RecordStatus:
    """What differs of a record that was brought about is drift, of which its policy says what matters."""
    drift = withhold(difference.plan, view.record.spec.drift) if view.settled else Drift(difference.plan)
    drifted = view.settled and _is_drift(drift.todo)
    now = datetime.now(UTC)
    return status_of_look(view.record, difference.observed, drift, view.before, now, drifted=drifted)


def _is_drift(todo: Plan) -> bool:
    """Whether something differs from what was brought about; upkeep that is due is no difference."""
    upkeep_only = bool(todo.actions) and all(isinstance(action, FlattenLayer) for action in todo.actions)
    return not todo.converged and not upkeep_only


def _failed_upkeep(outcomes: Iterable[Outcome], view: View) -> dict[str, Obstacle]:
    """Why upkeep failed, by node, that was not put off for it yet. A round has nothing else to do beside upkeep."""
    failed = ((of.action, of.error) for of in outcomes if of.error is not None)
    return {
        action.node: obstacle_of(error)
        for action, error in failed
        if isinstance(action, FlattenLayer) and action.node not in view.put_off
    }


def _interfaces(record: ClusterRecord) -> frozenset[str]:
    network = record.spec.network
    return frozenset({network.name, network.bridge, *(node.tap for node in record.spec.nodes.values())})


def _sighting(record: ClusterRecord, observed: ClusterDocument) -> Sighting:
    return Sighting({node: _state_of(observed.power.get(node)) for node in record.spec.nodes}, len(record.faults))


def _state_of(power: Power | Unknown | None) -> str:
    if power is None:
        return "undefined"
    return "unknown" if isinstance(power, Unknown) else power.state.value
