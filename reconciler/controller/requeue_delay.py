"""When to run the next round: immediately while there is progress, later and later while there is none."""

from random import Random

from reconciler.controller.backoff import growing_delay_s
from reconciler.controller.round_results import RoundResult
from reconciler.model.plan import Plan, ShutDown

LOOK_AGAIN_S = 0.25


class RequeueDelay:
    """The delays of one wait, or of one watched cluster."""

    def __init__(self, longest_s: float, longest_ask_s: float = LOOK_AGAIN_S, chance: Random | None = None) -> None:
        self._longest_s = longest_s
        self._longest_ask_s = longest_ask_s
        self._chance = chance
        self._stuck = 0
        self._asked = 0
        self._last_plan: Plan | None = None

    def delay_s(self, result: RoundResult) -> float:
        """How long to wait before the next round: not at all after progress, longer each time without."""
        if _asks_only(result):
            self._asked += 1
            return growing_delay_s(self._asked, self._longest_ask_s, self._chance, LOOK_AGAIN_S)
        self._asked = 0
        got_on = bool(result.outcomes) and not result.failed and result.plan != self._last_plan
        self._stuck = 0 if got_on else self._stuck + 1
        self._last_plan = result.plan
        return 0.0 if got_on else growing_delay_s(self._stuck + 1, self._longest_s, self._chance)

    def restart(self) -> None:
        """Reset the delays, as after a change of the desired state."""
        self._stuck = self._asked = 0
        self._last_plan = None


def _asks_only(result: RoundResult) -> bool:
    """Whether the round only waits for nodes that are shutting down."""
    plan = result.plan
    only_asks = all(isinstance(action, ShutDown) for action in plan.actions)
    return only_asks and not result.failed and bool(plan.actions or plan.waiting)
