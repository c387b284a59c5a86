"""Splits a plan for drift: what the policy repairs, and what it only reports or ignores."""

from dataclasses import dataclass, replace

from reconciler.model.drift import DriftMode, DriftPolicy
from reconciler.model.plan import Action, Plan


@dataclass(frozen=True, slots=True)
class Drift:
    """A plan in two parts: what will be done, and the drift that is only reported."""

    todo: Plan
    reported: tuple[Action, ...] = ()


def withhold(plan: Plan, policy: DriftPolicy) -> Drift:
    """Split a plan whose every action repairs drift.

    An action withheld for a node (or for the cluster) also withholds the later stages for that node (or for all nodes).
    """
    modes = {id(action): policy.of(action.kind) for action in plan.actions}
    held = [action for action in plan.actions if modes[id(action)] is not DriftMode.REPAIR]
    todo = tuple(action for action in plan.actions if action not in held and not _builds_on(action, held))
    reported = tuple(action for action in held if modes[id(action)] is DriftMode.REPORT)
    return Drift(replace(plan, actions=todo), reported)


def _builds_on(action: Action, held: list[Action]) -> bool:
    return any(other.node in {None, action.node} and other.stage < action.stage for other in held)
