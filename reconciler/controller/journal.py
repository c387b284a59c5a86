"""The events of one round: passed immediately to callers in this process, and stored for all others."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Self

import structlog

from reconciler.act.outcome import Outcome
from reconciler.errors import ClusterError
from reconciler.model.action_names import action_name
from reconciler.model.event import Cause, ClusterEvent, EventKind
from reconciler.model.plan import Action, Plan
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

OnEvent = Callable[[ClusterEvent], None]
"""Called with each event as it happens."""


def no_observer(_event: ClusterEvent) -> None:
    """Ignores events."""


class EventJournal:
    """Writes events in the background during the round; the end of the round waits until all are written."""

    def __init__(self, store: Store, record: ClusterRecord, tell: OnEvent, *, drifted: bool = False) -> None:
        self._store = store
        self._record = record
        self._tell = tell
        self._cause = Cause.DRIFT if drifted else Cause.CHANGE
        self._unwritten: list[ClusterEvent] = []
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._writing is not None or self._unwritten:
            self._ensure_written()
            assert self._writing is not None
            await self._writing

    def found(self, todo: Plan) -> None:
        """Record that the round starts to carry out this plan."""
        if self._cause is Cause.DRIFT:
            for action in todo.actions:
                self._add(EventKind.DRIFT_FOUND, action.reason, node=action.node, subject=action_name(action))

    def advanced(self, action: Action, share: float) -> None:
        """Record the progress of a long action, from 0 to 1."""
        self._add(EventKind.ACTION_ADVANCED, f"{share:.0%} done", node=action.node, subject=action_name(action))

    def ended(self, outcome: Outcome) -> None:
        """Record that an action ended."""
        action, name = outcome.action, action_name(outcome.action)
        if outcome.error is not None:
            self._add(EventKind.ACTION_FAILED, f"failed: {outcome.error}", node=action.node, subject=name)
            return
        kind = EventKind.DRIFT_REPAIRED if self._cause is Cause.DRIFT else EventKind.ACTION_DONE
        self._add(kind, f"done in {outcome.duration_s:.2f} s", node=action.node, subject=name)

    def said(self, before: RecordStatus | None, after: RecordStatus) -> None:
        """Record what the round's status changes compared to the previous one."""
        for message, subject in _changed_conditions(before, after):
            self._add(EventKind.CONDITION_CHANGED, message, subject=subject, caused=False)
        self.faults(before, after.faults_in_force)
        old = {(of.code, of.node): of for of in before.obstacles} if before else {}
        new = {(of.code, of.node): of for of in after.obstacles}
        for key in new.keys() - old.keys():
            self._add(EventKind.OBSTACLE_MET, new[key].message, node=key[1], subject=key[0].value, caused=False)
        for key in old.keys() - new.keys():
            self._add(EventKind.OBSTACLE_GONE, old[key].message, node=key[1], subject=key[0].value, caused=False)

    def faults(self, before: RecordStatus | None, now: Mapping[str, datetime | None]) -> None:
        """Record faults that became active, and those that expired or were healed."""
        old = before.faults_in_force if before else {}
        for handle in now.keys() - old.keys():
            self._add(EventKind.FAULT_INJECTED, _until(now[handle]), subject=handle, caused=False)
        for handle in old.keys() - now.keys():
            ends = old[handle]
            over = ends is not None and ends <= datetime.now(UTC)
            kind = EventKind.FAULT_EXPIRED if over else EventKind.FAULT_HEALED
            how = f"it expired at {_moment(ends)}" if ends is not None and over else "healed"
            self._add(kind, how, subject=handle, caused=False)

    def _add(
        self, kind: EventKind, message: str, *, node: str | None = None, subject: str, caused: bool = True
    ) -> None:
        event = ClusterEvent(
            cluster_name=self._record.cluster_name,
            at=datetime.now(UTC),
            kind=kind,
            message=message,
            node=node,
            subject=subject,
            cause=self._cause if caused else None,
            generation=self._record.generation,
            host=self._store.own_host,
        )
        self._unwritten.append(event)
        self._tell(event)
        self._ensure_written()

    def _ensure_written(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """A store that refuses events does not stop the round; the error shows when its status is refused too."""
        try:
            while batch := self._unwritten:
                self._unwritten = []
                await self._store.add_events(batch)
        except ClusterError as error:
            log.warning("events_lost", cluster=self._record.cluster_name, cause=str(error))
        finally:
            self._writing = None


def _until(ends: datetime | None) -> str:
    return "in force" if ends is None else f"active until {_moment(ends)}"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}Z"


def _changed_conditions(before: RecordStatus | None, after: RecordStatus) -> Iterator[tuple[str, str]]:
    old = {of.type: of.status for of in before.conditions} if before else {}
    for of in after.conditions:
        if old.get(of.type) is not of.status:
            detail = f": {of.message}" if of.message else ""
            yield f"{of.status.value} ({of.reason}){detail}", of.type.value
