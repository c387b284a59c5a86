"""What a controller says of a cluster after each round: Kubernetes-style conditions beside the generation."""

from enum import StrEnum

from pydantic import Field

from reconciler.errors import ErrorCode, is_recoverable
from reconciler.model.base import Frozen
from reconciler.model.faults import NetFaultInfo
from reconciler.model.moments import Moment
from reconciler.model.prose import Told


class ConditionType(StrEnum):
    """What can hold for a cluster; `Provisioned` and `KernelHealthy` for a node too, the latter since its boot."""

    DEFINED = "Defined"
    RUNNING = "Running"
    SSH_REACHABLE = "SSHReachable"
    PROVISIONED = "Provisioned"
    SNAPSHOTS_READY = "SnapshotsReady"
    FAULTS_APPLIED = "FaultsApplied"
    UPKEEP_DONE = "UpkeepDone"
    DRIFTED = "Drifted"
    READY = "Ready"
    KERNEL_HEALTHY = "KernelHealthy"


class ConditionStatus(StrEnum):
    """Whether a condition holds; `Unknown` where it could not be observed."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Frozen):
    """One condition with the reason (CamelCase, for programs) and the message (for people) of its status."""

    type: ConditionType = Field(description="What it is about.")
    status: ConditionStatus = Field(description="Whether it holds; `Unknown` where it could not be observed.")
    reason: str = Field(description="Why, as one CamelCase word for programs.")
    message: Told = Field(default="", description="Why, in words; empty where there is nothing to add.")
    last_transition: Moment = Field(description="When `status` last changed.")


class Obstacle(Frozen):
    """What keeps a cluster from its desired state, with the remedy in the message. Its code says if trying helps."""

    code: ErrorCode = Field(description="What kind of failure it is: see the table of error codes.")
    message: Told = Field(description="What is in the way, and its remedy.")
    node: str | None = Field(default=None, description="The node that it concerns; null where it is no single one.")
    terminal: bool = Field(default=False, description="Nothing goes on until somebody removes it.")
    recoverable: bool = Field(
        description="Trying again, or reverting, can help.", default_factory=lambda known: is_recoverable(known["code"])
    )


class RecordStatus(Frozen):
    """The controller's word on one cluster, written however a round ends.

    `observed_generation` is the newest generation that a round has worked on; `converged` says whether that
    round left nothing to do. `settled_generation` is the newest one that was brought about whole: what differs
    from it later is drift. `round_request` is the newest request for a round that was answered. `failures` are those
    of the obstacles that are actions which came to nothing. `snapshots_made` are requests of the record: a snapshot of
    one that is not there is lost. `faults` are the wanted ones with what the round found of them, as they were last
    exported. `faults_in_force` are the handles of those that were brought about and not yet healed, with the end of
    those that have one.
    """

    cluster_name: str
    observed_generation: int
    converged: bool
    settled_generation: int = 0
    round_request: int = 0
    conditions: tuple[Condition, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    failures: tuple[Obstacle, ...] = ()
    snapshots_made: frozenset[int] = frozenset()
    faults: tuple[NetFaultInfo, ...] = ()
    faults_in_force: dict[str, Moment | None] = {}
    updated_at: Moment
