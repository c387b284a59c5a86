"""A simulated machine, which is acted on step by step: in this process, or from another through a socket."""

import asyncio
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from reconciler.act.context import ActContext
from reconciler.errors import ClusterError, OperationFailed, SnapshotFailed
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.plan import Action, SweepSnapshot, TakeSnapshot
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import Manifest
from reconciler.model.status import HeldSnapshot
from reconciler.store.meeting import Meeting, Phase
from tests.simulation.host import ASK, SimulatedHost
from tests.simulation.worlds import CLUSTER

DONE = "done"
_LIMITS_S = {Phase.PREPARED: 20.0, Phase.PAUSED: 2.0, Phase.SWITCHED: 5.0}
_HEADER_BYTES = 4


class Machine(Protocol):
    """A machine as a controller reaches it. Each method raises `OperationFailed` where the machine refuses."""

    async def observe(self, record: ClusterRecord) -> ClusterDocument: ...

    async def held(self) -> tuple[HeldSnapshot, ...]: ...

    async def begin(self, action: Action, record: ClusterRecord, *, undoing: bool) -> int:
        """Begin an action; returns its number. `undoing` is what a host does that may no longer act."""
        ...

    async def step(self, work: int, *, agreed: bool = False, finishing: bool = False) -> object:
        """The next effect of an action: a phase, `ASK`, None, or `DONE`.

        `finishing` is what nodes stand still for: it is not left half done.
        """
        ...

    async def request_of(self, snapshot: str) -> int:
        """The request that an unfinished snapshot was made for; 0 if nobody knows."""
        ...


async def perform(action: Action, context: ActContext, machine: Machine) -> None:
    """Carry out an action as `reconciler.act.execute` does: the right to act is looked at again before each effect."""
    match action:
        case TakeSnapshot():
            await _take(action, context, machine)
        case SweepSnapshot():
            await _undo_or_finish(action, context, machine, "it was interrupted")
        case _:
            work = await machine.begin(action, context.record, undoing=False)
            context.require_term()
            while await machine.step(work) != DONE:
                context.require_term()


async def _take(action: TakeSnapshot, context: ActContext, machine: Machine) -> None:
    meeting = _meeting(action.snapshot.request, context)
    if not await meeting.begin():
        raise SnapshotFailed("it was taken, and this host's part of it is gone")
    try:
        work = await machine.begin(action, context.record, undoing=False)
        context.require_term()
        standing_still = False
        while (mark := await machine.step(work, finishing=standing_still)) != DONE:
            if isinstance(mark, Phase):
                await meeting.reach(mark, limit_s=_LIMITS_S[mark])
            if mark is Phase.SWITCHED:
                await meeting.agree()
            if not standing_still:
                context.require_term()
            standing_still = standing_still or mark is Phase.PAUSED
    except ClusterError as error:
        sweep = SweepSnapshot(name=action.name, reason="it failed")
        await _undo_or_finish(sweep, context, machine, error.message)
        raise


async def _undo_or_finish(action: SweepSnapshot, context: ActContext, machine: Machine, why: str) -> None:
    request = await machine.request_of(action.name)
    work = await machine.begin(action, context.record, undoing=True)
    while (mark := await machine.step(work)) != ASK:
        pass
    is_off = not request or await _meeting(request, context).call_off(why)
    while mark != DONE:
        mark = await machine.step(work, agreed=not is_off)


def _meeting(request: int, context: ActContext) -> Meeting:
    return context.meeting(f"snapshot-{request}")


class LocalMachine:
    """The machine in this process; with a `refusal`, it takes no snapshot."""

    def __init__(self, host: SimulatedHost, refusal: ClusterError | None = None) -> None:
        self.host = host
        self._refusal = refusal
        self._works: dict[int, Any] = {}

    async def observe(self, record: ClusterRecord) -> ClusterDocument:
        self.host.record = record
        self.host.time_passes()
        return self.host.observe()

    async def held(self) -> tuple[HeldSnapshot, ...]:
        return tuple(_manifests_of(self.host))

    async def begin(self, action: Action, record: ClusterRecord, *, undoing: bool) -> int:
        self.host.record = record
        number = len(self._works)
        self._works[number] = action, self.host.perform(action)
        return number

    async def step(self, work: int, *, agreed: bool = False, finishing: bool = False) -> object:
        action, effects = self._works[work]
        if self._refusal is not None and isinstance(action, TakeSnapshot):
            raise self._refusal
        if agreed:
            self.host.agreed.add(action.name)
        return next(effects, DONE)

    async def request_of(self, snapshot: str) -> int:
        return self.host.requests.get(snapshot, 0)


def _manifests_of(host: SimulatedHost) -> Iterator[HeldSnapshot]:
    for name, of in host.snapshots.items():
        assert isinstance(of, Snapshot)
        manifest = Manifest(
            snapshot_name=name,
            cluster_name=CLUSTER,
            request=of.request,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            include_memory=of.include_memory,
            pause_s=0.1,
            nodes=of.nodes,
        )
        sizes = {str(disk.path): 4096 for node in of.nodes.values() for disk in node.disks.values()}
        yield HeldSnapshot(manifest=manifest, sizes=sizes)


class RemoteMachine:
    """The machine in another process, behind a socket. Requests are answered one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> "RemoteMachine":
        return cls(*await asyncio.open_unix_connection(path))

    async def observe(self, record: ClusterRecord) -> ClusterDocument:
        found: ClusterDocument = await self._ask("observe", record)
        return found

    async def held(self) -> tuple[HeldSnapshot, ...]:
        found: tuple[HeldSnapshot, ...] = await self._ask("held")
        return found

    async def begin(self, action: Action, record: ClusterRecord, *, undoing: bool) -> int:
        return int(await self._ask("begin", action, record, undoing=undoing))

    async def step(self, work: int, *, agreed: bool = False, finishing: bool = False) -> object:
        return await self._ask("step", work, agreed=agreed, finishing=finishing)

    async def request_of(self, snapshot: str) -> int:
        return int(await self._ask("request_of", snapshot))

    async def _ask(self, verb: str, *arguments: object, **named: object) -> Any:
        async with self._turn:
            await send(self._writer, (verb, arguments, named))
            refusal, answer = await receive(self._reader)
        if refusal is not None:
            raise OperationFailed(refusal)
        return answer


async def send(writer: asyncio.StreamWriter, what: object) -> None:
    """Write one message."""
    text = pickle.dumps(what)
    writer.write(len(text).to_bytes(_HEADER_BYTES) + text)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Any:
    """Read one message, which a process of the same test has written."""
    size = int.from_bytes(await reader.readexactly(_HEADER_BYTES))
    return pickle.loads(await reader.readexactly(size))
