"""The rounds of one cluster: runs them, one at a time, whenever something may have changed, and backs off."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

import structlog

from reconciler.controller.backoff import growing_delay_s
from reconciler.controller.requeue_delay import RequeueDelay
from reconciler.controller.retries import Retries
from reconciler.controller.round import Rounds
from reconciler.controller.round_results import RoundResult
from reconciler.errors import ClusterError, HostOccupied, error_to_answer
from reconciler.store.host_lease import HostLease

log = structlog.get_logger(__name__)

LONGEST_DELAY_S = 30.0
_LONGEST_ASK_S = 5.0
HOST_WAIT_S = 10.0
"""How long a round waits for another store's round before the cluster's status says so; it keeps waiting afterwards."""

LATE_FAULT_S = 1.0
"""How long after a fault's end, if that failed, it is tried again."""

_STORM_FIRST_S = 0.02
_STORM_LONGEST_S = 1.0
_CALM_S = 2.0

OnRound = Callable[[str, RoundResult, float], None]
"""Called with each round on a cluster, and its duration in seconds."""


class RoundLoop:
    """Runs rounds on a cluster until its record is deleted. Wake-ups during a round cause one more round."""

    def __init__(
        self, cluster: str, rounds: Rounds, host: HostLease, chance: Random, observers: Sequence[OnRound] = ()
    ) -> None:
        self.cluster = cluster
        self.interfaces: frozenset[str] = frozenset()
        self._rounds = rounds
        self._host = host
        self._observers = observers
        self._woken = asyncio.Event()
        self._at_work = asyncio.Lock()
        self._pace = RequeueDelay(LONGEST_DELAY_S, _LONGEST_ASK_S, chance)
        self._retries = Retries(chance)
        self._idle = 0
        self._last_idle_s = 0.0

    def wake(self, *, changed: bool = False) -> None:
        """Run a round soon; `changed` says that the record did, so that earlier failures no longer count."""
        if changed:
            self._pace.restart()
        self._woken.set()

    async def run(self) -> None:
        """Run rounds until the cluster's record is deleted."""
        while True:
            self._woken.clear()
            await self._end_faults()
            began_s = time.monotonic()
            result = await self._round()
            for observe in self._observers:
                observe(self.cluster, result, time.monotonic() - began_s)
            if result.gone:
                return
            self.interfaces = result.interfaces or self.interfaces
            await self._rest(result)

    async def _end_faults(self) -> None:
        """End faults whose time is over first, as the store may be away; what fails is tried with the next round."""
        left_s = self._rounds.remembered.next_end_in_s(self.cluster)
        if left_s is None or left_s > 0:
            return
        try:
            async with self._host.turn(HOST_WAIT_S), self._at_work:
                await self._rounds.end_faults_alone(self.cluster)
        except ClusterError as error:
            log.warning("faults_not_ended", cluster=self.cluster, cause=str(error))
        except Exception:
            log.exception("faults_not_ended", cluster=self.cluster)

    async def finish(self) -> None:
        """Return when no round is running; none starts afterwards."""
        await self._at_work.acquire()

    async def _round(self) -> RoundResult:
        """One round; a defect in it affects only this cluster."""
        try:
            return await self._round_in_turn()
        except ClusterError as error:
            log.warning("round_failed", cluster=self.cluster, code=error.code.value, cause=str(error))
            return RoundResult(error=error)
        except Exception as error:
            log.exception("round_failed", cluster=self.cluster)
            return RoundResult(error=error_to_answer(error))

    async def _round_in_turn(self) -> RoundResult:
        """A round while no other store works on the host; if one does for long, the cluster's status says so."""
        try:
            async with self._host.turn(HOST_WAIT_S), self._at_work:
                return await self._rounds.run(self.cluster, retries=self._retries)
        except HostOccupied as error:
            async with self._at_work:
                return await self._rounds.could_not_begin(self.cluster, self._retries, error)

    async def _rest(self, result: RoundResult) -> None:
        """Wait for the next round; without a limit if the cluster is as desired."""
        if result.converged:
            self._pace.restart()
            await self._calm_down()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._faults_end_in_s()):
                    await self._woken.wait()
            return
        self._idle = 0
        delay_s = self._pace.delay_s(result)
        waits = (delay_s, self._retries.due_in_s(), self._faults_end_in_s())
        with suppress(TimeoutError):
            async with asyncio.timeout(min(of for of in waits if of is not None)):
                await self._woken.wait()

    def _faults_end_in_s(self) -> float | None:
        """When the next fault ends; a failure to end it is repeated with pauses."""
        left_s = self._rounds.remembered.next_end_in_s(self.cluster)
        return None if left_s is None else left_s if left_s > 0 else LATE_FAULT_S

    async def _calm_down(self) -> None:
        """Events that change nothing of the desired state cause rounds less and less often."""
        now_s = time.monotonic()
        self._idle = self._idle + 1 if now_s - self._last_idle_s < _CALM_S else 0
        self._last_idle_s = now_s
        if self._idle > 1:
            await asyncio.sleep(growing_delay_s(self._idle, _STORM_LONGEST_S, first_s=_STORM_FIRST_S))
