"""What happened to a cluster: actions, drift, conditions that changed, obstacles that came and went."""

from datetime import datetime
from enum import StrEnum

from reconciler.model.base import Frozen


class EventKind(StrEnum):
    """What an event tells of."""

    ACTION_ADVANCED = "ActionAdvanced"
    ACTION_DONE = "ActionDone"
    ACTION_FAILED = "ActionFailed"
    DRIFT_FOUND = "DriftFound"
    DRIFT_REPAIRED = "DriftRepaired"
    CONDITION_CHANGED = "ConditionChanged"
    OBSTACLE_MET = "ObstacleMet"
    OBSTACLE_GONE = "ObstacleGone"
    FAULT_INJECTED = "FaultInjected"
    FAULT_HEALED = "FaultHealed"
    FAULT_EXPIRED = "FaultExpired"


class Cause(StrEnum):
    """Why a controller acts: the record was changed, or the host was while the record stood."""

    CHANGE = "change"
    DRIFT = "drift"


class ClusterEvent(Frozen):
    """One thing that happened to `subject`: an action, a condition's type, an obstacle's code or a fault's handle.

    `number` orders the events of a store, and is 0 until it is in one.
    """

    number: int = 0
    cluster_name: str
    at: datetime
    kind: EventKind
    subject: str
    message: str
    node: str | None = None
    cause: Cause | None = None
    generation: int = 0
