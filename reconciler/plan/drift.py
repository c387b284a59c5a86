"""Which part of a plan is left undone because the differences are drift that is only to be reported, or ignored."""

from dataclasses import dataclass, replace

from reconciler.model.action_kinds import KIND_OF
from reconciler.model.drift import DriftMode, DriftPolicy
from reconciler.model.plan import STAGE_OF, Action, Plan


@dataclass(frozen=True, slots=True)
class Drift:
    """A plan in two parts: what is to be done, and what differs and is reported."""

    todo: Plan
    reported: tuple[Action, ...] = ()


def withhold(plan: Plan, policy: DriftPolicy) -> Drift:
    """Split a plan whose every action is for drift.

    What is withheld of a node (of the cluster) holds back what a later stage would do to it (to any node).
    """
    modes = {id(action): policy.of(KIND_OF[type(action)]) for action in plan.actions}
    held = [action for action in plan.actions if modes[id(action)] is not DriftMode.REPAIR]
    todo = tuple(action for action in plan.actions if action not in held and not _builds_on(action, held))
    reported = tuple(action for action in held if modes[id(action)] is DriftMode.REPORT)
    return Drift(replace(plan, actions=todo), reported)


def _builds_on(action: Action, held: list[Action]) -> bool:
    return any(other.node in {None, action.node} and STAGE_OF[type(other)] < STAGE_OF[type(action)] for other in held)
