"""A cluster for somebody who goes on looking: cheap to look at often, exact as soon as its nodes have answered."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.errors import ClusterError
from reconciler.faults.combine import wanted_at
from reconciler.health.cluster_conditions import guests_conditions, with_guests
from reconciler.model.document import Unknown
from reconciler.model.graph import ClusterGraph, GraphNode
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ClusterStatus, DomainState
from reconciler.model.status import Condition, RecordStatus
from reconciler.records.plan_view import PlanView, plan_view
from reconciler.records.proposal import preview_change
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime
from reconciler.usecases.cluster_graph import graph_seen, seen_in
from reconciler.usecases.inspection import Inspection


@dataclass(frozen=True, slots=True)
class LiveView:
    """What is known of a cluster at one moment; `trouble` says what could not be looked at.

    `taken` are the snapshots of the record that were taken by now.
    """

    at: datetime
    record: ClusterRecord
    graph: ClusterGraph
    conditions: tuple[Condition, ...]
    settled: bool
    taken: frozenset[str]
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """All that a view depends on."""

    generation: int
    in_force: tuple[str, ...]
    nodes: list[GraphNode]
    network_active: bool
    conditions: tuple[Condition, ...]
    settled: bool
    taken: frozenset[str]
    trouble: str


async def pending_plan(runtime: Runtime, cluster: str) -> PlanView:
    """What a controller would do now to a cluster, without any change of its record. Changes nothing."""
    record = await existing(runtime.store, cluster)
    return plan_view(await preview_change(runtime, record, record))


class LiveCluster:
    """Looks at one cluster again and again. `look` asks libvirt alone; `ask_nodes` logs in to them, which takes longer.

    What the nodes answered last stays in later looks, for each node that is still in the state that it had then.
    """

    def __init__(self, runtime: Runtime, cluster: str, answered: ClusterStatus | None = None) -> None:
        """With what its nodes have `answered` just now, if they were asked."""
        self._runtime = runtime
        self._cluster = cluster
        self._answered = answered
        self._asked_at = datetime.now(UTC) if answered else datetime.min.replace(tzinfo=UTC)
        self._last: tuple[_Found, LiveView] | None = None

    async def look(self) -> LiveView:
        """The cluster now; the last view itself if nothing has changed. Raises `ClusterNotFound`.

        Only what has changed is drawn: the links of many nodes are many.
        """
        record = await existing(self._runtime.store, self._cluster)
        said = await self._runtime.store.status(self._cluster)
        states, trouble = await self._states(record)
        now = datetime.now(UTC)
        found = _Found(
            generation=record.generation,
            in_force=tuple(of.handle_id for of in wanted_at(record.faults.values(), now)),
            nodes=self._seen(record, states),
            network_active=self._network_active(said, states),
            conditions=self._conditions(record, said),
            settled=said is not None and said.converged and said.observed_generation >= record.generation,
            taken=frozenset(
                name for name, of in record.snapshots.items() if said and of.request in said.snapshots_made
            ),
            trouble=trouble,
        )
        if self._last is None or found != self._last[0]:
            graph = await asyncio.to_thread(graph_seen, record, found.nodes, found.network_active, now)
            self._last = (
                found,
                LiveView(
                    at=now,
                    record=record,
                    graph=graph,
                    conditions=found.conditions,
                    settled=found.settled,
                    taken=found.taken,
                    trouble=trouble,
                ),
            )
        return self._last[1]

    async def ask_nodes(self) -> None:
        """Ask the running nodes how they are, for the looks from now on. Raises as `Inspection.status` does."""
        began = datetime.now(UTC)
        try:
            self._answered = await Inspection(self._runtime).status(self._cluster)
        except ClusterError as error:
            self._answered = error.partial if isinstance(error.partial, ClusterStatus) else self._answered
            raise
        self._asked_at = began

    async def _states(self, record: ClusterRecord) -> tuple[dict[str, DomainState], str]:
        """Each node's state, and why none is known."""
        names = list(record.spec.nodes)
        try:
            down = await Inspection(self._runtime).not_running(record, names)
        except ClusterError as error:
            return dict.fromkeys(names, DomainState.UNKNOWN), error.message
        unseen = {of.halt.unknown for of in down.values() if isinstance(of.halt, Unknown)}
        running = DomainState.RUNNING
        return {name: down[name].state if name in down else running for name in names}, "; ".join(sorted(unseen))

    def _seen(self, record: ClusterRecord, states: dict[str, DomainState]) -> list[GraphNode]:
        answered = {of.name: of for of in (seen_in(self._answered) if self._answered else ())}
        return [
            of
            if (of := answered.get(name)) and of.state is state
            else GraphNode(name, record.spec.nodes[name].role, str(record.spec.nodes[name].ip), state)
            for name, state in states.items()
        ]

    def _network_active(self, said: RecordStatus | None, states: dict[str, DomainState]) -> bool:
        """As it was seen last; a machine that runs has a network."""
        seen = self._answered.network_active if self._answered else bool(said and said.network_active)
        return seen or DomainState.RUNNING in states.values()

    def _conditions(self, record: ClusterRecord, said: RecordStatus | None) -> tuple[Condition, ...]:
        """Those of the last round, or of the last look if that is newer; those of the guests as they answered."""
        if self._answered is None:
            return said.conditions if said else ()
        if said is None or said.updated_at <= self._asked_at:
            return self._answered.conditions
        nodes = [node for node in self._answered.nodes if node.name in record.nodes]
        return with_guests(said.conditions, guests_conditions(record, nodes))
