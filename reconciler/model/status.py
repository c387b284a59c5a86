"""What a controller reports about a cluster after each round: Kubernetes-style conditions beside the generation."""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import ConfigDict, Field

from reconciler.error_codes import ErrorCode
from reconciler.errors import is_recoverable
from reconciler.model.base import Frozen
from reconciler.model.document import Halt, PowerState
from reconciler.model.faults import NetFaultInfo
from reconciler.model.message_text import StoredMessage
from reconciler.model.snapshot import Manifest, SnapshotBases
from reconciler.model.timestamps import Moment


class ConditionType(StrEnum):
    """The conditions of a cluster; nodes have `Provisioned` and `KernelHealthy` too, the latter since their boot."""

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
    """Whether a condition holds; `Unknown` if that could not be observed."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Frozen):
    """One condition; `reason` (CamelCase, for programs) and `message` (for people) explain its status."""

    type: ConditionType = Field(description="The condition.")
    status: ConditionStatus = Field(description="Whether it holds; `Unknown` if that could not be observed.")
    reason: str = Field(description="Why, as one CamelCase word for programs.")
    message: StoredMessage = Field(default="", description="Why, as text; empty if there is nothing to add.")
    last_transition: Moment = Field(description="When `status` last changed.")


class Obstacle(Frozen):
    """What keeps a cluster from its desired state, with the remedy in the message; `code` says if a retry can help.

    A newer version may say more of it.
    """

    model_config = ConfigDict(extra="ignore")

    code: ErrorCode = Field(description="The kind of failure: see the table of error codes.")
    message: StoredMessage = Field(description="What the obstacle is, and the remedy.")
    node: str | None = Field(default=None, description="The node concerned; null if it is not a single one.")
    terminal: bool = Field(default=False, description="Nothing continues until somebody removes it.")
    under_way: bool = Field(
        default=False,
        description="What is needed is being made: waiting is enough.",
        exclude_if=lambda under_way: not under_way,  # an older version reads no status that has it
    )
    recoverable: bool = Field(
        description="Whether trying again, or reverting, can help.",
        default_factory=lambda known: is_recoverable(known["code"]),
    )


def obstacles_in_words(obstacles: Iterable[Obstacle]) -> str:
    """What the obstacles are, each once, after the nodes that have it."""
    nodes: dict[str, list[str]] = {}
    for of in obstacles:
        nodes.setdefault(of.message, []).extend([of.node] if of.node else [])
    return "; ".join(f"{', '.join(names)}: {message}" if names else message for message, names in nodes.items())


class NodeReport(Frozen):
    """What a host saw of one of its nodes, and the node's public SSH host key; a newer version may say more."""

    model_config = ConfigDict(extra="ignore")

    state: PowerState
    halt: Halt | None = None
    host_key: str = ""


class HeldSnapshot(Frozen):
    """A host's part of a snapshot, with the sizes of its files by path."""

    manifest: Manifest
    sizes: dict[str, int] = {}


class RecordStatus(Frozen):
    """The controller's status of one cluster, written however a round ends.

    `observed_generation` is the newest generation that a round has processed; `converged` says whether that round left
    nothing to do. `settled_generation` is the newest one that was applied completely: any later difference from it is
    drift. `round_request` is the newest request for a round that was fulfilled. `failures` are the obstacles that are
    failed actions. `snapshots_made` are requests of the record: a snapshot of one of them that does not exist is lost.
    `faults` are the desired faults with what the round observed of them, as last exported. `faults_in_force` are the
    handles of those that were applied and not yet healed, with the expiry of those that have one.

    Where the store has several hosts, each writes the status of its part: `host` is its name, `nodes`, `snapshots`
    and `bases` are what the others cannot see for themselves, and `nothing_left` says that the cluster is deleted there
    to the last file. One that is `visiting` has nothing of the cluster but its network. `unsettled` are the nodes that
    something was left to be done about, as in a plan. A host of a newer version may say more.
    """

    model_config = ConfigDict(extra="ignore")

    cluster_name: str
    host: str = ""
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
    nodes: dict[str, NodeReport] = {}
    snapshots: tuple[HeldSnapshot, ...] = ()
    bases: SnapshotBases = SnapshotBases()
    network_active: bool = False
    nothing_left: bool = False
    visiting: bool = False
    unsettled: frozenset[str] | None = None
    updated_at: Moment

    @property
    def is_in_network(self) -> bool:
        """Whether the host has the network of the cluster whose nodes are on others."""
        return self.visiting and self.converged and self.network_active

    @classmethod
    def of_nothing_seen(cls, cluster: str, host: str, now: Moment) -> "RecordStatus":
        """The word of a host that may have something of a cluster, and has not looked yet."""
        return cls(cluster_name=cluster, host=host, observed_generation=0, converged=False, updated_at=now)
