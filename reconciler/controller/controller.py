"""The inline controller: rounds until a cluster is as wanted, in whichever process holds the lease.

A caller cannot tell whether its own process did the work or another one: it waits until the status says that a
generation at least as new as its own was worked on and nothing is left to do.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from reconciler.controller.round import OnOutcome, RoundResult, Rounds, no_observer
from reconciler.errors import ClusterError, ErrorCode, Obstructed, OperationTimeout
from reconciler.model.plan import Plan, ShutDown
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle, RecordStatus
from reconciler.store.lease import Lease
from reconciler.store.protocol import Store, Watch

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0
_LOOK_AGAIN_S = 0.25
_LEASE_POLL_S = 0.05

SAME_FAILURES = 5
"""A failure that comes back this often without a change is answered; the controller's next round may still mend it."""


class Controller:
    """Brings clusters to their wanted state from within this process."""

    def __init__(self, store: Store, rounds: Rounds, lease: Lease) -> None:
        self.rounds = rounds
        self._store = store
        self._lease = lease
        self._turns = 0
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def converge(self, record: ClusterRecord, *, timeout_s: float, on_outcome: OnOutcome = no_observer) -> None:
        """Return when the host is as `record` or a newer generation of it wants.

        Raises the obstacle where one ends the wait, and `OperationTimeout` with the last cause when time is up.
        """
        wait = _Wait(timeout_s)
        changes = await self._store.watch()
        while True:
            async with self._turn(record.cluster_name) as may_act:
                result = await self.rounds.run(record.cluster_name, on_outcome) if may_act else None
            if result is None:
                if await self._done_by_another(record, wait):
                    return
                await changes.wait(timeout_s=min(_LEASE_POLL_S, wait.left_s()))
            elif result.converged:
                return
            else:
                wait.raise_if_over(result)
                await self._pause(changes, record.cluster_name, result.generation, wait.delay_s(result))

    async def _pause(self, changes: Watch, cluster: str, generation: int, delay_s: float) -> None:
        """Wait, unless the record is changed: the status that a round itself writes is no reason for another."""
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0:
            now = await self._store.get(cluster)
            if now is None or now.generation != generation:
                return
            await changes.wait(timeout_s=left_s)

    @asynccontextmanager
    async def _turn(self, cluster: str) -> AsyncIterator[bool]:
        """The right to act on a cluster: the host's lease, shared by this process, and the cluster's own lock."""
        async with self._locks[cluster]:
            if self._turns == 0 and not self._lease.try_acquire():
                yield False
                return
            self._turns += 1
            try:
                yield True
            finally:
                self._turns -= 1
                if self._turns == 0:
                    self._lease.release()

    async def _done_by_another(self, record: ClusterRecord, wait: "_Wait") -> bool:
        """What the process that holds the lease says of the cluster."""
        status = await self._store.status(record.cluster_name)
        if status is None and await self._store.get(record.cluster_name) is None:
            return True
        if status is None or status.observed_generation < record.generation:
            wait.raise_if_late(status.obstacles if status else ())
            return False
        if not status.converged:
            wait.raise_if_terminal(status)
            wait.raise_if_late(status.obstacles)
        return status.converged


class _Wait:
    """One caller's patience: a deadline, growing delays after failures, and an end to repeated ones."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._failures = 0
        self._last_failure: tuple[Obstacle, ...] = ()
        self._stuck = 0
        self._last_plan: Plan | None = None

    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def delay_s(self, result: RoundResult) -> float:
        """How long to wait before the next round: not at all when this one got on, longer each time it did not."""
        asks_only = all(isinstance(action, ShutDown) for action in result.plan.actions)
        if asks_only and not result.failed:
            return min(_LOOK_AGAIN_S, self.left_s())
        got_on = not result.failed and result.plan != self._last_plan
        self._stuck = 0 if got_on else self._stuck + 1
        self._last_plan = result.plan
        return 0.0 if got_on else min(_FIRST_DELAY_S * 2.0**self._stuck, _LONGEST_DELAY_S, self.left_s())

    def raise_if_over(self, result: RoundResult) -> None:
        """End the wait where a further round cannot help, or there is no time for one."""
        obstacles = _obstacles_of(result)
        terminal = [obstacle for obstacle in obstacles if obstacle.terminal]
        if terminal and not _still_at_work(result):
            raise as_error(terminal)
        self._count(obstacles if result.failed else ())
        if self._failures >= SAME_FAILURES:
            raise as_error(obstacles)
        self.raise_if_late(obstacles, result.plan)

    def raise_if_terminal(self, status: RecordStatus) -> None:
        """End the wait where the controller elsewhere met something that waiting does not mend."""
        if terminal := [obstacle for obstacle in status.obstacles if obstacle.terminal]:
            raise as_error(terminal)

    def raise_if_late(self, obstacles: Sequence[Obstacle], plan: Plan | None = None) -> None:
        """End the wait when the caller's time is up."""
        if self.left_s() > 0:
            return
        if obstacles:
            raise as_error(obstacles)
        raise OperationTimeout(f"not done after {self._timeout_s:g} s: {_in_words(plan)}")

    def _count(self, obstacles: tuple[Obstacle, ...]) -> None:
        self._failures = self._failures + 1 if obstacles and obstacles == self._last_failure else min(len(obstacles), 1)
        self._last_failure = obstacles


def as_error(obstacles: Sequence[Obstacle]) -> ClusterError:
    """One error for all that stands in the way: its own where there is one, PARTIAL_FAILURE where they differ."""
    codes = {obstacle.code for obstacle in obstacles}
    if len(obstacles) == 1:
        (only,) = obstacles
        return Obstructed(only.code, only.message, node=only.node, terminal=only.terminal, recoverable=only.recoverable)
    return Obstructed(
        codes.pop() if len(codes) == 1 else ErrorCode.PARTIAL_FAILURE,
        "; ".join(
            f"{obstacle.node}: {obstacle.message}" if obstacle.node else obstacle.message for obstacle in obstacles
        ),
        node=None,
        terminal=any(obstacle.terminal for obstacle in obstacles),
        recoverable=all(obstacle.recoverable for obstacle in obstacles),
    )


def _obstacles_of(result: RoundResult) -> tuple[Obstacle, ...]:
    errors = [result.error] if result.error else []
    errors += [outcome.error for outcome in result.outcomes if outcome.error]
    return (*result.plan.obstacles, *map(_as_obstacle, errors))


def _as_obstacle(error: ClusterError) -> Obstacle:
    return Obstacle(
        code=error.code, message=str(error), node=error.node, terminal=error.terminal, recoverable=error.recoverable
    )


def _still_at_work(result: RoundResult) -> bool:
    """Whether other nodes got on in this round: they are brought to their end before the obstacle is answered."""
    return any(outcome.error is None for outcome in result.outcomes)


def _in_words(plan: Plan | None) -> str:
    if plan is None:
        return "another process is at work on it"
    pending = [f"{type(action).__name__} {action.node or ''}".strip() for action in plan.actions]
    return ", ".join([*pending, *sorted(f"{node} is on its way down" for node in plan.waiting)])
