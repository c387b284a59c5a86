"""What happened to a cluster: actions, drift, changed conditions, obstacles that appeared or were cleared."""

from enum import StrEnum

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.message_text import StoredMessage
from reconciler.model.timestamps import Moment


class EventKind(StrEnum):
    """What an event reports."""

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
    EVENT_UNREADABLE = "EventUnreadable"


class Cause(StrEnum):
    """Why a controller acts: the record changed, or the host drifted while the record did not."""

    CHANGE = "change"
    DRIFT = "drift"


class ClusterEvent(Abridgeable):
    """One thing that happened to `subject`: an action, a condition's type, an obstacle's code or a fault's handle.

    `number` orders the events of a store; it is 0 until the event is stored.
    """

    number: int = Field(default=0, description="Its place in the order of all events.")
    cluster_name: str = Field(description="Name of the cluster.")
    at: Moment = Field(description="When it happened.")
    kind: EventKind = Field(description="What it reports.")
    subject: str = Field(description="An action, a condition's type, an obstacle's code or a fault's handle.")
    message: StoredMessage = Field(description="What happened, as text.")
    node: str | None = Field(default=None, description="The node concerned; null if it is not a single one.")
    cause: Cause | None = Field(default=None, description="Why it was done; null if nothing was.")
    generation: int = Field(default=0, description="The generation of the record at that time.")
    host: str = Field(default="", description="The host that it happened on; empty where there is only one.")

    @property
    def said(self) -> str:
        """The text that repetitions are recognised by: successful actions differ only in their duration."""
        return "done" if self.kind in _DONE else self.message


_DONE = frozenset({EventKind.ACTION_DONE, EventKind.DRIFT_REPAIRED})
