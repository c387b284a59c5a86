"""One round: observe, compile what is wanted, plan, act, and say how it went."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from reconciler.act.context import ActContext
from reconciler.act.outcome import Checkpoint, Outcome
from reconciler.act.runner import carry_out
from reconciler.controller.status import same_word, status_after, status_of_failed_round
from reconciler.desired.addresses import guest_address
from reconciler.desired.compile import HostFacts, compile_document, seed_inputs
from reconciler.errors import ClusterError
from reconciler.guest.pool import SshPool
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.disks.manifests import read_manifests
from reconciler.host.files import remove_empty_directory
from reconciler.host.libvirt.driver import Libvirt
from reconciler.model import names
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import Manifest
from reconciler.model.status import Obstacle
from reconciler.observe.cluster import observe_cluster
from reconciler.plan.planner import plan
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)


OnOutcome = Callable[[Outcome], None]
"""Told of each action as it ends."""


def no_observer(_outcome: Outcome) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wanted of a cluster, what is there, and what leads from one to the other."""

    desired: ClusterDocument
    observed: ClusterDocument
    plan: Plan


@dataclass(frozen=True, slots=True)
class RoundResult:
    """How a round on that generation of a record went. `gone` says that the cluster has no record any more."""

    generation: int = 0
    plan: Plan = field(default_factory=Plan)
    outcomes: tuple[Outcome, ...] = ()
    error: ClusterError | None = None
    gone: bool = False

    @property
    def converged(self) -> bool:
        return self.gone or (self.error is None and self.plan.converged)

    @property
    def failed(self) -> bool:
        return self.error is not None or any(outcome.error for outcome in self.outcomes)


class Rounds:
    """Rounds on one host. The caller holds the lease while one runs."""

    def __init__(
        self,
        store: Store,
        libvirt: Libvirt,
        ssh: SshPool,
        host_facts: Callable[[], Awaitable[HostFacts]],
        checkpoint: Checkpoint = lambda _name: None,
    ) -> None:
        self._store = store
        self._libvirt = libvirt
        self._layers = LayerDriver()
        self._ssh = ssh
        self._host_facts = host_facts
        self._checkpoint = checkpoint

    async def compare(self, record: ClusterRecord, observed: ClusterDocument | None = None) -> Difference:
        """Plan for a record, written or not, from what is observed now or was just now; changes nothing."""
        facts = await self._host_facts()
        observed = observed or await observe_cluster(record, self._libvirt)
        status = await self._store.status(record.cluster_name)
        desired = compile_document(record, facts, observed, status.snapshots_made if status else frozenset())
        return Difference(desired, observed, plan(desired, observed))

    async def manifests(self, record: ClusterRecord) -> list[Manifest]:
        """The snapshots of a cluster as they are on disk, oldest first."""
        return await asyncio.to_thread(read_manifests, record.spec.overlay_dir, record.cluster_name)

    async def run(self, cluster: str, on_outcome: OnOutcome = no_observer) -> RoundResult:
        """One round on a cluster. A host that cannot be observed ends it with an error and without an action."""
        record = await self._store.get(cluster)
        if record is None:
            return RoundResult(gone=True)
        try:
            difference = await self.compare(record)
        except ClusterError as error:
            await self._report_failure(record, error)
            return RoundResult(record.generation, error=error)
        outcomes = await carry_out(difference.plan, self._context(record, on_outcome))
        if record.deletion is not None and record.deletion.remove_overlays and difference.plan.converged:
            await self._forget(record)
            return RoundResult(record.generation, difference.plan, gone=True)
        await self._report(record, difference, outcomes)
        return RoundResult(record.generation, difference.plan, tuple(outcomes))

    def _context(self, record: ClusterRecord, on_outcome: OnOutcome) -> ActContext:
        return ActContext(
            record=record,
            libvirt=self._libvirt,
            layers=self._layers,
            ssh=self._ssh,
            seeds=seed_inputs(record),
            address_of=partial(guest_address, record),
            checkpoint=self._checkpoint,
            on_outcome=on_outcome,
        )

    async def _forget(self, record: ClusterRecord) -> None:
        """The last step of a deletion: nothing is left but the record."""
        remove_empty_directory(names.cluster_dir(record.spec.overlay_dir, record.cluster_name))
        self._checkpoint("before Forget")
        await self._store.remove(record.cluster_name, expected_generation=record.generation, actor="controller")

    async def _report(self, record: ClusterRecord, difference: Difference, outcomes: list[Outcome]) -> None:
        before = await self._store.status(record.cluster_name)
        now = datetime.now(UTC)
        status = status_after(record, difference.observed, difference.plan, outcomes, before, now)
        if not same_word(before, status):
            await self._store.put_status(status)

    async def _report_failure(self, record: ClusterRecord, error: ClusterError) -> None:
        log.warning("round_failed", cluster=record.cluster_name, code=error.code.value, cause=str(error))
        obstacle = Obstacle(
            code=error.code, message=str(error), node=error.node, terminal=error.terminal, recoverable=error.recoverable
        )
        before = await self._store.status(record.cluster_name)
        status = status_of_failed_round(record, obstacle, before, datetime.now(UTC))
        if not same_word(before, status):
            await self._store.put_status(status)
