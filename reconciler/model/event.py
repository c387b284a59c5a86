"""What happened to a cluster: actions, drift, conditions that changed, obstacles that came and went."""

from enum import StrEnum

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.moments import Moment
from reconciler.model.prose import Told


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

    number: int = Field(default=0, description="Its place in the order of all events.")
    cluster_name: str = Field(description="Name of the cluster.")
    at: Moment = Field(description="When it happened.")
    kind: EventKind = Field(description="What it tells of.")
    subject: str = Field(description="An action, a condition's type, an obstacle's code or a fault's handle.")
    message: Told = Field(description="What happened, in words.")
    node: str | None = Field(default=None, description="The node that it concerns; null where it is no single one.")
    cause: Cause | None = Field(default=None, description="Why it was done; null where nothing was.")
    generation: int = Field(default=0, description="Of what was wanted then.")

    @property
    def said(self) -> str:
        """Its words, by which a repetition is known: actions that succeeded differ in nothing but their duration."""
        return "done" if self.kind in _DONE else self.message


_DONE = frozenset({EventKind.ACTION_DONE, EventKind.DRIFT_REPAIRED})
