"""What a round decides: what is to be done now of what leads to what is wanted."""

from dataclasses import dataclass, replace

from reconciler.controller.round_input import RoundInput
from reconciler.controller.round_results import PlannedDifference
from reconciler.model.plan import FlattenLayer, Plan
from reconciler.plan.drift_filter import Drift, withhold


@dataclass(frozen=True, slots=True)
class Decision:
    """What a round is to do: `todo`, which is what `drift` leaves to be done without what failed lately."""

    view: RoundInput
    difference: PlannedDifference
    drift: Drift
    todo: Plan

    @property
    def drifted(self) -> bool:
        """Whether what is to be done repairs drift."""
        return self.view.settled and is_drift(self.drift.todo)


def decided(view: RoundInput, difference: PlannedDifference) -> Decision:
    """What to do about a difference: all of it where somebody waits for the round, or what the drift policy says."""
    plan = difference.plan
    drift = withhold(plan, view.record.spec.drift) if view.is_left_alone else Drift(plan)
    todo = replace(drift.todo, actions=view.retries.allowed(drift.todo)) if view.retries else drift.todo
    return Decision(view, difference, drift, todo)


def is_drift(todo: Plan) -> bool:
    """Whether something differs from what was brought about; upkeep that is due is no difference."""
    upkeep_only = bool(todo.actions) and all(isinstance(action, FlattenLayer) for action in todo.actions)
    return not todo.converged and not upkeep_only
