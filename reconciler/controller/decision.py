"""Decides which of the actions that lead to the desired state are done in this round."""

from dataclasses import dataclass, replace

from reconciler.controller.round_input import RoundInput
from reconciler.controller.round_results import PlannedDifference
from reconciler.model.plan import FlattenLayer, Plan
from reconciler.plan.drift_filter import Drift, withhold


@dataclass(frozen=True, slots=True)
class Decision:
    """What a round does: `todo`, the actions that `drift` permits, without those that failed recently."""

    view: RoundInput
    difference: PlannedDifference
    drift: Drift
    todo: Plan

    @property
    def drifted(self) -> bool:
        """Whether the actions repair drift."""
        return self.view.settled and is_drift(self.drift.todo)


def decided(view: RoundInput, difference: PlannedDifference) -> Decision:
    """Which part of a difference to act on: all of it if a caller waits for the round, otherwise as the drift policy
    says.
    """
    plan = difference.plan
    drift = withhold(plan, view.record.spec.drift) if view.is_left_alone else Drift(plan)
    todo = replace(drift.todo, actions=view.retries.allowed(drift.todo)) if view.retries else drift.todo
    return Decision(view, difference, drift, todo)


def is_drift(todo: Plan) -> bool:
    """Whether there is drift from the applied record; pending upkeep does not count."""
    upkeep_only = bool(todo.actions) and all(isinstance(action, FlattenLayer) for action in todo.actions)
    return not todo.converged and not upkeep_only
