"""How one caller waits for a cluster, or for some of its nodes: until when, how long between rounds, what ends it."""

import time
from collections.abc import Callable, Collection, Sequence

from reconciler.controller.conditions import obstacle_of
from reconciler.controller.requeue_delay import RequeueDelay
from reconciler.controller.round_results import RoundResult
from reconciler.controller.unsettled import OF_NO_NODE, unsettled_nodes
from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, Obstructed, OperationTimeout
from reconciler.model.action_names import action_name
from reconciler.model.plan import Plan
from reconciler.model.status import Obstacle, RecordStatus, obstacles_in_words

LONGEST_DELAY_S = 5.0
SAME_FAILURES = 5
"""A failure repeated this often without a change is answered; the controller's next round may still fix it."""
UNDER_WAY_S = 900.0
"""How much longer than asked for it waits for what is under way, such as the template of a node on another host."""

_NEWS_S = 90.0
"""What is under way is told of at least this often."""

ELSEWHERE = "another process is working on it"


class Wait:
    """A deadline, growing delays after failures, and a limit for repeated ones."""

    def __init__(self, timeout_s: float, since_s: float | None = None, nodes: Collection[str] | None = None) -> None:
        """With `nodes` it waits for these only: what keeps others from their desired state does not matter."""
        self._nodes = nodes
        self._timeout_s = timeout_s
        self._deadline = (time.monotonic() if since_s is None else since_s) + timeout_s
        self._latest = self._deadline + UNDER_WAY_S
        self._failures = 0
        self._last_failure: tuple[Obstacle, ...] = ()
        self._pace = RequeueDelay(LONGEST_DELAY_S)

    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def delay_s(self, result: RoundResult) -> float:
        """How long to wait before the next round."""
        return min(self._pace.delay_s(result), self.left_s())

    def raise_if_over(self, result: RoundResult) -> None:
        """End the wait if another round cannot help, or there is no time for one."""
        obstacles = self._obstacles_of(result)
        terminal = [obstacle for obstacle in obstacles if obstacle.terminal]
        if terminal and not _still_at_work(result):
            raise as_error(terminal)
        self._count(obstacles if result.failed else ())
        if self._failures >= SAME_FAILURES:
            raise as_error(obstacles)
        self.raise_if_late(obstacles, result.plan)

    def is_over(self, result: RoundResult) -> bool:
        """Whether a round left nothing to do of what is waited for."""
        unsettled = unsettled_nodes(result.plan)
        return result.converged or (
            result.error is None and self._has_nothing_left(unsettled, self._of(result.plan.obstacles, unsettled))
        )

    def was_done(self, status: RecordStatus) -> bool:
        """Whether the controller in another process left nothing to do of what is waited for."""
        return status.converged or self._has_nothing_left(status.unsettled, self._of_status(status))

    def raise_if_terminal(self, status: RecordStatus, only: ErrorCode | None = None) -> None:
        """End the wait if the controller in another process met something that waiting does not fix."""
        if terminal := [of for of in self._of_status(status) if of.terminal and only in (None, of.code)]:
            raise as_error(terminal)

    def raise_if_late(
        self, obstacles: Sequence[Obstacle], plan: Plan | None = None, at_work: Callable[[], str] = str
    ) -> None:
        """End the wait when the caller's time is up."""
        self._wait_for_what_is_under_way(obstacles)
        if self.left_s() > 0:
            return
        if obstacles:
            raise as_error(obstacles)
        raise OperationTimeout(f"not done after {self._timeout_s:g} s: {at_work() or _in_words(plan)}")

    def raise_if_late_by(self, status: RecordStatus | None, at_work: Callable[[], str]) -> None:
        """End the wait for the controller in another process when the caller's time is up."""
        self.raise_if_late(self._of_status(status) if status else (), at_work=at_work)

    def _obstacles_of(self, result: RoundResult) -> tuple[Obstacle, ...]:
        errors = [result.error] if result.error else []
        errors += [outcome.error for outcome in result.outcomes if outcome.error]
        return self._of((*result.plan.obstacles, *map(obstacle_of, errors)), unsettled_nodes(result.plan))

    def _of_status(self, status: RecordStatus) -> tuple[Obstacle, ...]:
        return self._of(status.obstacles, status.unsettled)

    def _of(self, obstacles: tuple[Obstacle, ...], unsettled: frozenset[str] | None) -> tuple[Obstacle, ...]:
        """Those of the obstacles that concern what is waited for."""
        if self._nodes is None or unsettled is None:
            return obstacles
        return tuple(of for of in obstacles if of.node is None or of.node in self._nodes)

    def _has_nothing_left(self, unsettled: frozenset[str] | None, obstacles: tuple[Obstacle, ...]) -> bool:
        if self._nodes is None or unsettled is None:
            return False
        return not (obstacles or unsettled & {*self._nodes, OF_NO_NODE})

    def _wait_for_what_is_under_way(self, obstacles: Sequence[Obstacle]) -> None:
        if any(of.under_way for of in obstacles):
            self._deadline = max(self._deadline, min(time.monotonic() + _NEWS_S, self._latest))

    def _count(self, obstacles: tuple[Obstacle, ...]) -> None:
        self._failures = self._failures + 1 if obstacles and obstacles == self._last_failure else min(len(obstacles), 1)
        self._last_failure = obstacles


def as_error(obstacles: Sequence[Obstacle]) -> ClusterError:
    """One error for all obstacles: the obstacle's own if there is one, PARTIAL_FAILURE if there are several kinds."""
    codes = {obstacle.code for obstacle in obstacles}
    if len(obstacles) == 1:
        (only,) = obstacles
        return Obstructed(only.code, only.message, node=only.node, terminal=only.terminal)
    return Obstructed(
        codes.pop() if len(codes) == 1 else ErrorCode.PARTIAL_FAILURE,
        obstacles_in_words(obstacles),
        node=None,
        terminal=any(obstacle.terminal for obstacle in obstacles),
    )


def _still_at_work(result: RoundResult) -> bool:
    """Whether other nodes made progress in this round; they are finished before the obstacle is answered."""
    return any(outcome.error is None for outcome in result.outcomes)


def _in_words(plan: Plan | None) -> str:
    if plan is None:
        return ELSEWHERE
    pending = [f"{action_name(action)} {action.node or ''}".strip() for action in plan.actions]
    return ", ".join([*pending, *sorted(f"{node} is shutting down" for node in plan.waiting)])
