"""The steps of a soak, one by one, each followed by a look at everything."""

import asyncio
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.model.record import ClusterRecord
from tests.integration.bed import Bed, Session
from tests.soak.clients import CLUSTER, Answer, ask
from tests.soak.damage import WatchedHost, inflict, wait_until_it_serves
from tests.soak.disks import Disks
from tests.soak.inspect import as_json, assert_as_wanted
from tests.soak.intruders import Intruders
from tests.soak.script import MEMORIES_MIB, Apply, Step, steps

SETTLE_TIMEOUT_S = 120.0
_LOG_LINES = 60

Say = Callable[[str], None]


class SoakFailed(AssertionError):
    """What was found, with step and seed, and the end of the service's log."""


@dataclass(frozen=True, slots=True)
class Soaked:
    """How much happened."""

    seed: int
    steps: int
    done: int
    refused: int
    intruders_refused: int


async def soak(bed: Bed, *, seed: int, duration_s: float, say: Say) -> Soaked:
    """Run steps until the time is up, then check everything again. Raises `SoakFailed` at the first problem."""
    service = WatchedHost(bed)
    service.start()
    try:
        wait_until_it_serves(service)
        async with AsyncExitStack() as stack:
            clients = [Session(await stack.enter_async_context(bed.runtime())) for _ in range(2)]
            return await _Soak(bed, service, clients, say).run(seed, duration_s)
    finally:
        service.end(signal.SIGKILL)


class _Soak:
    def __init__(self, bed: Bed, service: WatchedHost, clients: list[Session], say: Say) -> None:
        self._bed = bed
        self._service = service
        self._clients = clients
        self._say = say
        self._disks = Disks()
        self._intruders = Intruders(bed)

    async def run(self, seed: int, duration_s: float) -> Soaked:
        answers: list[Answer] = []
        first = await ask(self._bed, self._clients[0], Apply(2, MEMORIES_MIB[0]))
        assert first.error is None, first
        until_s = time.monotonic() + duration_s
        for step in steps(seed):
            if time.monotonic() > until_s:
                self._disks.check_whole()
                done = sum(answer.error is None for answer in answers)
                return Soaked(seed, step.number - 1, done, len(answers) - done, self._intruders.refused)
            answers += await self._checked(seed, step)
        raise AssertionError("the script has no end")

    async def _checked(self, seed: int, step: Step) -> list[Answer]:
        self._say(str(step))
        try:
            return await self._step(step)
        except (AssertionError, ClusterError) as error:
            record = await self._record()
            log = "\n".join(self._service.log.read_text().splitlines()[-_LOG_LINES:])
            where = traceback.format_tb(error.__traceback__)[-1].rstrip()
            raise SoakFailed(f"seed {seed}, {step}:\n{where}\n{error}\nwanted: {as_json(record)}\n{log}") from error

    async def _step(self, step: Step) -> list[Answer]:
        await asyncio.to_thread(self._disks.write, step)
        asking = [
            ask(self._bed, client, operation) for client, operation in zip(self._clients, step.operations, strict=False)
        ]
        damage = asyncio.to_thread(inflict, step, self._service)
        *answers, _, _ = await asyncio.gather(*asking, damage, asyncio.to_thread(self._intruders.intrude, step))
        found = [answer for answer in answers if isinstance(answer, Answer)]
        for answer in found:
            self._say(f"    {answer}")
        found += [await self._approve(answer) for answer in found if _is_unapproved(answer)]
        record = await self._settled()
        await asyncio.to_thread(assert_as_wanted, self._bed, record)
        snapshot_dir = self._bed.settings.overlay_dir / CLUSTER / "snapshots"
        await asyncio.to_thread(self._disks.check, found, snapshot_dir)
        assert self._disks.snapshots.keys() == record.snapshots.keys()
        assert not self._service.complaints(), self._service.complaints()
        return found

    async def _approve(self, unapproved: Answer) -> Answer:
        """Ask again, as the error says: the other client's change came first, and an approval holds for one change."""
        answer = await ask(self._bed, self._clients[0], unapproved.operation)
        self._say(f"    once more: {answer}")
        return answer

    async def _settled(self) -> ClusterRecord:
        """The record, once the host has converged to it; a second round then finds nothing to do."""
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        runtime = self._clients[0].runtime
        while True:
            record = await self._record()
            try:
                await runtime.controller.converge(record, timeout_s=SETTLE_TIMEOUT_S / 4)
            except ClusterError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.2)
                continue
            again = (await runtime.looks.compare(record)).plan
            assert not again.actions, f"converged, and yet to do: {again.actions}"
            return record

    async def _record(self) -> ClusterRecord:
        record = await self._clients[0].runtime.store.get(CLUSTER)
        assert record is not None
        return record


def _is_unapproved(answer: Answer) -> bool:
    return answer.error is not None and answer.error.code is ErrorCode.APPROVAL_REQUIRED
