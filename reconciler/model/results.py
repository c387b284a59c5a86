"""What the tools answer. Names and meanings are fixed by the contract; fields may be added, never changed."""

from datetime import datetime
from enum import StrEnum
from typing import Generic, Self, TypeVar

from pydantic import Field

from reconciler.errors import ClusterError, ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.omission import Abridgeable
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Condition

T = TypeVar("T")


class ToolError(Frozen):
    """Why a tool failed, and whether trying again, or reverting, can help."""

    code: ErrorCode
    message: str
    node: str | None = None
    recoverable: bool

    @classmethod
    def of(cls, error: ClusterError) -> Self:
        return cls(code=error.code, message=str(error), node=error.node, recoverable=error.recoverable)


class ToolResult(Frozen, Generic[T]):
    """The envelope that every tool answers in. Beside an error, `result` holds what can be said all the same."""

    success: bool
    result: T | None = None
    error: ToolError | None = None


class DomainState(StrEnum):
    """A node's domain as `virsh domstate` names it; `unknown` also stands for a domain that is not defined.

    One that QEMU stopped by an internal error, which libvirt calls paused, is `crashed`: it cannot run on.
    """

    RUNNING = "running"
    SHUT_OFF = "shut off"
    PAUSED = "paused"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


class NodeStatus(Abridgeable):
    """One node as observed just now."""

    name: str
    role: str
    ip: str
    domain_state: DomainState
    ssh_reachable: bool
    ssh_error: ToolError | None = Field(default=None, description="Why it takes no login; null where it takes one.")
    artifact_id_installed: str | None = None
    loaded_modules: tuple[str, ...] = ()
    message: str | None = Field(default=None, description="What stands in the way of this node, with its remedy.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="KernelHealthy: false from the first bad event that the kernel reported since its boot; unknown, "
        "for the reason NoSignOfLife, where the node has shown none for a minute.",
    )
    first_bad_event: KernelEvent | None = Field(default=None, description="That event, with its trace.")


class ClusterStatus(Abridgeable):
    """A cluster as observed just now; `generation` is what is wanted, `observed_generation` what was last worked on."""

    cluster_name: str
    network_active: bool
    nodes: tuple[NodeStatus, ...]
    generation: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class GuestDisk(Frozen):
    """An extra disk of a node: the file on the host, and where it is in the guest."""

    path: str
    guest_path: str = Field(description="The name that stays, whatever else the guest's kernel calls the disk.")
    size_bytes: int


class NodeDescriptor(Frozen):
    """What it takes to log in to one node."""

    name: str
    role: str
    ip: str
    ssh_port: int = 22
    ssh_user: str
    ssh_key_path: str
    host_key: str = Field(description="The node's public SSH host key, as a known_hosts file carries it.")
    extra_disks: tuple[GuestDisk, ...] = Field(default=(), description="In the order of the topology.")


class ClusterHandle(Abridgeable):
    """What a consumer needs to use a running cluster by itself."""

    cluster_name: str
    nodes: tuple[NodeDescriptor, ...]
    artifact_path: str | None = None
    kernel_version: str
    kernel_versions: dict[str, str]
    unreachable: dict[str, ToolError] = Field(
        default={}, description="With `partial`: the nodes that are not in `nodes`, and why they did not answer."
    )


class ExecResult(Frozen):
    """One finished (or timed out) shell command; bytes that are not UTF-8 are `replaced` by U+FFFD."""

    exit_code: int
    stdout: str
    stderr: str
    duration_s: float
    timed_out: bool
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    stdout_replaced: bool = False
    stderr_replaced: bool = False
    stdout_omitted_bytes: int = Field(default=0, description="What was left out between beginning and end.")
    stderr_omitted_bytes: int = 0


class ExecAllResult(Abridgeable):
    """The same command on many nodes; `failed_nodes` are those with a non-zero exit, a time-out or no answer."""

    results: dict[str, ExecResult]
    all_succeeded: bool
    failed_nodes: tuple[str, ...]
    errors: dict[str, ToolError] = {}


class NodeSummary(Frozen):
    """One node in a list of clusters: what is known of it without a look at the host."""

    name: str
    role: str
    ip: str


class ClusterSummary(Abridgeable):
    """One line of a list of clusters; `destroyed` ones have left their disks behind."""

    cluster_name: str
    nodes: tuple[NodeSummary, ...]
    node_count: int
    wanted_running: int = Field(description="How many of them are to run.")
    destroyed: bool
    generation: int
    conditions: tuple[Condition, ...] = ()


class SnapshotFile(Frozen):
    """A file of a snapshot, and what it takes on disk."""

    path: str
    size_bytes: int


class SnapshotNodeInfo(Frozen):
    """One node's part of a snapshot; `size_bytes` is what its frozen layers and its memory take on disk."""

    node_name: str
    disk_path: str = Field(description="The frozen layer of the root disk.")
    size_bytes: int = Field(description="What all its files take on disk: `disks` and, in it already, `memory_bytes`.")
    memory_path: str | None = None
    power: SnapshotPower = Field(description="What the node did then, which a revert brings back.")
    disks: dict[str, SnapshotFile] = Field(description="The frozen layer of every disk, by target: vda, vdb, …")
    memory_bytes: int = Field(default=0, description="The part of `size_bytes` that is memory.")


class SnapshotInfo(Abridgeable):
    """A snapshot of a whole cluster. `lost` ones were made and are not there any more."""

    snapshot_name: str
    cluster_name: str
    created_at: datetime | None
    per_node: dict[str, SnapshotNodeInfo]
    include_memory: bool = False
    pause_s: float = Field(default=0.0, description="How long running nodes stood still for it.")
    lost: bool = False


class SnapshotNodeDeletion(Frozen):
    """Whether one node's part of a snapshot is gone."""

    node_name: str
    deleted: bool
    error: str | None = None


class SnapshotDeleteResult(Abridgeable):
    """A snapshot's name is gone on every node; layers that others need stay."""

    snapshot_name: str
    cluster_name: str
    per_node: dict[str, SnapshotNodeDeletion]


class BuildType(StrEnum):
    """How a tree was built, which says how it can be installed."""

    RAW_TREE = "raw_tree"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class ExcludedPath(Frozen):
    """A name of a tree that is not part of its artifact, and why."""

    path: str
    reason: str


class BuildArtifact(Abridgeable):
    """A registered build tree. Paths are relative to it; in them, bytes that are not UTF-8 are escaped."""

    artifact_id: str = Field(description="SHA-256 over all paths, modes, contents and link targets of the tree.")
    source_path: str
    build_type: BuildType
    kernel_version: str | None = Field(description="The kernel that the tree is, or that its modules are for.")
    modules: tuple[str, ...]
    userspace_bins: tuple[str, ...]
    test_framework_path: str | None = None
    git_sha: str | None = None
    git_branch: str | None = None
    build_timestamp: datetime = Field(description="When the tree's newest file was written.")
    metadata: dict[str, str]
    files: int
    size_bytes: int
    excluded: tuple[ExcludedPath, ...] = Field(default=(), description="What is in the tree, but not in the artifact.")
    registered_at: datetime


class ArtifactDiff(Abridgeable):
    """What differs from artifact a to artifact b."""

    artifact_id_a: str
    artifact_id_b: str
    changed_modules: tuple[str, ...]
    changed_bins: tuple[str, ...]
    git_log: str | None = Field(default=None, description="The commits in b that a has not, newest first.")
    added_modules: tuple[str, ...] = ()
    removed_modules: tuple[str, ...] = ()
    added_bins: tuple[str, ...] = ()
    removed_bins: tuple[str, ...] = ()
    other_changes: int = Field(default=0, description="How many other names were changed, added or removed.")
    changed_others: tuple[str, ...] = Field(default=(), description="Of those, the first 200 that were changed.")
    added_others: tuple[str, ...] = Field(default=(), description="The first 200 that were added.")
    removed_others: tuple[str, ...] = Field(default=(), description="The first 200 that were removed.")


class ArtifactRemoval(Frozen):
    """An artifact is no longer registered."""

    artifact_id: str
    freed_bytes: int = Field(description="What only this artifact needed.")


class NodeSync(Frozen):
    """How a tree came to one node."""

    node_name: str
    bytes_transferred: int = Field(description="What rsync sent to the node; 0 where it came to no end.")
    duration_s: float
    rsync_exit_code: int | None = Field(description="Null where rsync was not started.")
    skipped: bool = Field(description="The tree was there, complete, before.")
    basis: str | None = Field(default=None, description="The artifact on the node from which differences were sent.")
    error: ToolError | None = None


class SyncStatus(Abridgeable):
    """How a tree came to each node."""

    artifact_id: str
    path: str = Field(description="Where the tree is on the nodes.")
    per_node: dict[str, NodeSync]


class InstallMode(StrEnum):
    """What installing means."""

    MODPROBE_PATH = "modprobe_path"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class NodeInstall(Abridgeable):
    """How an installation went on one node."""

    node_name: str
    exit_code: int | None = Field(description="Null where nothing was run on the node.")
    installed_module_paths: tuple[str, ...]
    depmod_output: str
    output: str = Field(default="", description="The last of what the installation printed.")
    error: ToolError | None = None


class InstallStatus(Abridgeable):
    """How an installation went on each node."""

    artifact_id: str | None = Field(description="What is installed there now; null after an uninstallation.")
    per_node: dict[str, NodeInstall]
