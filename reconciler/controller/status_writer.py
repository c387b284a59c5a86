"""The only place where a round's status is written, however the round ended.

Events come first, so that a caller who waits for the status has seen them; then the file of active faults; then the
status itself.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from reconciler.act.outcome import Outcome
from reconciler.controller.conditions import obstacle_of, same_word, status_after, status_of_failed_round
from reconciler.controller.decision import Decision
from reconciler.controller.fault_export import FaultExport
from reconciler.controller.journal import EventJournal, OnEvent, no_observer
from reconciler.controller.part_report import reported
from reconciler.controller.round_input import RoundInput
from reconciler.controller.round_results import Look, RoundResult, interfaces_of
from reconciler.errors import ClusterError
from reconciler.host.disks.manifests import read_held
from reconciler.model.status import HeldSnapshot, RecordStatus
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)


async def _held(view: RoundInput) -> tuple[HeldSnapshot, ...] | None:
    """This host's parts of snapshots, which only other hosts need to be told."""
    if view.hosts is None:
        return None
    return await asyncio.to_thread(read_held, view.record.spec.overlay_dir, view.record.cluster_name)


class StatusWriter:
    """Writes statuses to the store. `export` writes their faults to a file for other programs."""

    def __init__(self, store: Store, export: FaultExport) -> None:
        self._store = store
        self._export = export

    async def write_result(self, decision: Decision, outcomes: Sequence[Outcome], tell: OnEvent) -> Look:
        """Write the status of a round that observed the host and acted."""
        view, observed = decision.view, decision.difference.observed
        failures = tuple(obstacle_of(outcome.error) for outcome in outcomes if outcome.error is not None)
        if view.retries is not None:
            failures = view.retries.obstacles(
                decision.drift.todo
            )  # including earlier failures that are not yet due again
        status = status_after(
            view.record,
            observed,
            decision.drift.todo,
            failures,
            view.before,
            datetime.now(UTC),
            decision.drift.reported,
            view.put_off,
        )
        held = await _held(view)
        status = view.marked(reported(status, view, observed, held), converged=decision.difference.plan.converged)
        await self.write(view, status, tell)
        return Look(view.record, status, observed)

    async def write_failure(self, view: RoundInput, error: ClusterError) -> RoundResult:
        """Write the status of a round that failed."""
        record = view.record
        log.warning("round_failed", cluster=record.cluster_name, code=error.code.value, cause=str(error))
        status = reported(status_of_failed_round(record, obstacle_of(error), view.before, datetime.now(UTC)), view)
        await self.write(view, view.marked(status, converged=False), no_observer)
        return RoundResult(record.generation, error=error, interfaces=interfaces_of(record))

    async def write_beginning(self, view: RoundInput) -> None:
        """Say, before this host first acts on a cluster of several hosts, that it may have something of it."""
        if view.hosts is not None and view.before is None:
            now, name = datetime.now(UTC), view.whole.cluster_name
            begun = RecordStatus.of_nothing_seen(name, view.host, now)
            await self._store.put_status(begun.model_copy(update={"visiting": view.visits}))

    async def write_nothing_left(self, view: RoundInput) -> None:
        """Say that the deleted cluster has nothing on this host any longer."""
        now, name = datetime.now(UTC), view.whole.cluster_name
        status = RecordStatus(
            cluster_name=name, observed_generation=0, converged=True, updated_at=now, nothing_left=True
        )
        status = status.model_copy(update={"observed_generation": view.whole.generation})
        await self._store.put_status(view.marked(reported(status, view), converged=True))

    async def write(self, view: RoundInput, status: RecordStatus, tell: OnEvent) -> None:
        """Write a status if it changed. If the file of faults cannot be written, the next round tries again."""
        before = view.before
        async with EventJournal(self._store, view.record, tell) as journal:
            journal.said(before, status)
        told = before.faults if before else ()
        async with self._export.told(status.cluster_name, status.faults, told) as exported:
            status = status if exported else status.model_copy(update={"faults": told})
            if not same_word(before, status):
                await self._store.put_status(status)
