"""What the tools answer. Names and meanings are fixed by the contract; fields may be added, never changed."""

from enum import StrEnum
from typing import Generic, Self, TypeVar

from pydantic import Field

from reconciler.errors import ClusterError, ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.moments import Moment
from reconciler.model.omission import Abridgeable
from reconciler.model.prose import Prose
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Condition

T = TypeVar("T")


class Version(Frozen):
    """Which release this is."""

    version: str = Field(description="As `pip` knows it.")


class ToolError(Frozen):
    """Why a tool failed, and whether trying again, or reverting, can help."""

    code: ErrorCode = Field(description="What kind of failure it is: see the table of error codes.")
    message: Prose = Field(description="What failed, where, and what to do about it.")
    node: str | None = Field(default=None, description="The node that it concerns; null where it is no single one.")
    recoverable: bool = Field(description="Trying again, or reverting, can help.")

    @classmethod
    def of(cls, error: ClusterError) -> Self:
        return cls(code=error.code, message=str(error), node=error.node, recoverable=error.recoverable)


class ToolResult(Frozen, Generic[T]):
    """The envelope that every tool answers in. Beside an error, `result` holds what can be said all the same."""

    success: bool = Field(description="Whether it was done; `error` is null then.")
    result: T | None = Field(
        default=None, description="The answer; beside an error, what can be said all the same, or null."
    )
    error: ToolError | None = Field(default=None, description="Why it failed; null where it did not.")


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

    name: str = Field(description="Name of the node.")
    role: str = Field(description="As the topology says; empty where it says nothing.")
    ip: str = Field(description="Its address in the network of the cluster.")
    domain_state: DomainState = Field(
        description="As observed; `crashed`: QEMU stopped it by an internal error, `unknown`: also not defined."
    )
    ssh_reachable: bool = Field(description="It took a login just now.")
    ssh_error: ToolError | None = Field(default=None, description="Why it takes no login; null where it takes one.")
    artifact_id_installed: str | None = Field(
        default=None,
        description="The artifact that was installed last; null for none, or where the node does not answer.",
    )
    loaded_modules: tuple[str, ...] = Field(
        default=(), description="Kernel modules, by name; empty where the node does not answer."
    )
    message: Prose | None = Field(default=None, description="What stands in the way of this node, with its remedy.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="KernelHealthy: false from the first bad event that the kernel reported since its boot; unknown, "
        "for the reason NoSignOfLife, where the node has shown none for a minute. Provisioned: whether cloud-init has "
        "done its work in this boot; false while it runs (CloudInitRunning) and where it failed (CloudInitFailed).",
    )
    first_bad_event: KernelEvent | None = Field(default=None, description="That event, with its trace.")


class ClusterStatus(Abridgeable):
    """A cluster as observed just now; `generation` is what is wanted, `observed_generation` what was last worked on."""

    cluster_name: str = Field(description="Name of the cluster.")
    network_active: bool = Field(description="Its libvirt network is up.")
    nodes: tuple[NodeStatus, ...] = Field(description="In the order of the topology.")
    generation: int = Field(default=0, description="Of what is wanted; grows with each change.")
    observed_generation: int = Field(
        default=0, description="What was last worked on; less than `generation`: a change is still to come."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="What holds for the cluster as a whole, as of the last round."
    )


class GuestDisk(Frozen):
    """An extra disk of a node: the file on the host, and where it is in the guest."""

    path: str = Field(description="The file on the host.")
    guest_path: str = Field(description="The name that stays, whatever else the guest's kernel calls the disk.")
    size_bytes: int = Field(description="As the guest sees it.")


class NodeDescriptor(Frozen):
    """What it takes to log in to one node."""

    name: str = Field(description="Name of the node.")
    role: str = Field(description="As the topology says; empty where it says nothing.")
    ip: str = Field(description="Its address, reachable from the host.")
    ssh_port: int = Field(default=22, description="Where its SSH server listens.")
    ssh_user: str = Field(description="Whom to log in as.")
    ssh_key_path: str = Field(description="The private key, on the host.")
    host_key: str = Field(description="The node's public SSH host key, as a known_hosts file carries it.")
    extra_disks: tuple[GuestDisk, ...] = Field(default=(), description="In the order of the topology.")


class ClusterHandle(Abridgeable):
    """What a consumer needs to use a running cluster by itself."""

    cluster_name: str = Field(description="Name of the cluster.")
    nodes: tuple[NodeDescriptor, ...] = Field(description="In the order of the topology.")
    artifact_path: str | None = Field(
        default=None, description="Where the installed artifact's tree is on the nodes; null where none is installed."
    )
    kernel_version: str = Field(description="Of the first node, as `uname -r` says.")
    kernel_versions: dict[str, str] = Field(description="The same of every node, by its name.")
    unreachable: dict[str, ToolError] = Field(
        default={}, description="With `partial`: the nodes that are not in `nodes`, and why they did not answer."
    )


class ExecResult(Frozen):
    """One finished (or timed out) shell command; bytes that are not UTF-8 are `replaced` by U+FFFD."""

    exit_code: int = Field(description="The command's own; 124 where its time was up.")
    stdout: str = Field(description="Standard output as text.")
    stderr: str = Field(description="Standard error as text.")
    duration_s: float = Field(description="From start to end, in seconds.")
    timed_out: bool = Field(description="Its time was up, and it was ended.")
    left_running: bool = Field(
        default=False, description="After a time-out: something that it started as a service still holds its output."
    )
    stdout_truncated: bool = Field(default=False, description="Some of it is left out.")
    stderr_truncated: bool = Field(default=False, description="Some of it is left out.")
    stdout_replaced: bool = Field(default=False, description="It is not all UTF-8; what is not is U+FFFD.")
    stderr_replaced: bool = Field(default=False, description="It is not all UTF-8; what is not is U+FFFD.")
    stdout_omitted_bytes: int = Field(default=0, description="What was left out between beginning and end.")
    stderr_omitted_bytes: int = Field(default=0, description="What was left out between beginning and end.")


class ExecAllResult(Abridgeable):
    """The same command on many nodes; `failed_nodes` are those with a non-zero exit, a time-out or no answer."""

    results: dict[str, ExecResult] = Field(description="By node, of those that answered.")
    all_succeeded: bool = Field(description="Every node answered, with exit code 0.")
    failed_nodes: tuple[str, ...] = Field(description="With another exit code, a time-out or no answer.")
    errors: dict[str, ToolError] = Field(default={}, description="By node, why it did not answer.")


class NodeSummary(Frozen):
    """One node in a list of clusters: what is known of it without a look at the host."""

    name: str = Field(description="Name of the node.")
    role: str = Field(description="As the topology says; empty where it says nothing.")
    ip: str = Field(description="Its address in the network of the cluster.")


class ClusterSummary(Abridgeable):
    """One line of a list of clusters; `destroyed` ones have left their disks behind."""

    cluster_name: str = Field(description="Name of the cluster.")
    nodes: tuple[NodeSummary, ...] = Field(description="In the order of the topology.")
    node_count: int = Field(description="How many nodes it has, also where `nodes` is cut.")
    wanted_running: int = Field(description="How many of them are to run.")
    destroyed: bool = Field(description="Its machines are gone, its disks are kept.")
    generation: int = Field(description="Of what is wanted; grows with each change.")
    conditions: tuple[Condition, ...] = Field(default=(), description="As of the last round.")


class SnapshotFile(Frozen):
    """A file of a snapshot, and what it takes on disk."""

    path: str = Field(description="On the host.")
    size_bytes: int = Field(description="What it takes on disk.")


class SnapshotNodeInfo(Frozen):
    """One node's part of a snapshot; `size_bytes` is what its frozen layers and its memory take on disk."""

    node_name: str = Field(description="Name of the node.")
    disk_path: str = Field(description="The frozen layer of the root disk.")
    size_bytes: int = Field(description="What all its files take on disk: `disks` and, in it already, `memory_bytes`.")
    memory_path: str | None = Field(
        default=None, description="The file with the machine's memory; null where it was not taken."
    )
    power: SnapshotPower = Field(description="What the node did then, which a revert brings back.")
    disks: dict[str, SnapshotFile] = Field(description="The frozen layer of every disk, by target: vda, vdb, …")
    memory_bytes: int = Field(default=0, description="The part of `size_bytes` that is memory.")


class SnapshotInfo(Abridgeable):
    """A snapshot of a whole cluster. `lost` ones were made and are not there any more."""

    snapshot_name: str = Field(description="Its name.")
    cluster_name: str = Field(description="Name of the cluster.")
    created_at: Moment | None = Field(description="When it was taken; null for a lost one.")
    per_node: dict[str, SnapshotNodeInfo] = Field(description="By node: its part of the snapshot.")
    include_memory: bool = Field(default=False, description="The nodes' memory was taken too.")
    pause_s: float = Field(default=0.0, description="How long running nodes stood still for it.")
    lost: bool = Field(default=False, description="It was made and is not there any more.")
    warnings: tuple[Prose, ...] = Field(
        default=(), description="When it is taken: what may not be as meant, such as nodes that cloud-init works on."
    )


class SnapshotNodeDeletion(Frozen):
    """Whether one node's part of a snapshot is gone."""

    node_name: str = Field(description="Name of the node.")
    deleted: bool = Field(description="Its part is gone.")
    error: Prose | None = Field(default=None, description="Why not; null where it is.")


class SnapshotDeleteResult(Abridgeable):
    """A snapshot's name is gone on every node; layers that others need stay."""

    snapshot_name: str = Field(description="Its name.")
    cluster_name: str = Field(description="Name of the cluster.")
    per_node: dict[str, SnapshotNodeDeletion] = Field(description="By node: whether its part is gone.")


class BuildType(StrEnum):
    """How a tree was built, which says how it can be installed."""

    RAW_TREE = "raw_tree"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class ExcludedPath(Frozen):
    """A name of a tree that is not part of its artifact, and why."""

    path: str = Field(description="Relative to the tree.")
    reason: str = Field(description="Why it was left out.")


class BuildArtifact(Abridgeable):
    """A registered build tree. Paths are relative to it; in them, bytes that are not UTF-8 are escaped."""

    artifact_id: str = Field(description="SHA-256 over all paths, modes, contents and link targets of the tree.")
    source_path: str = Field(description="Where the tree was registered from, on the host.")
    build_type: BuildType = Field(description="How it was built, as was said when it was registered.")
    kernel_version: str | None = Field(description="The kernel that the tree is, or that its modules are for.")
    modules: tuple[str, ...] = Field(description="Paths of kernel modules.")
    userspace_bins: tuple[str, ...] = Field(description="Paths of programs.")
    test_framework_path: str | None = Field(
        default=None, description="Where its tests are; null where none were found."
    )
    git_sha: str | None = Field(default=None, description="The commit it was built at; null outside a git work tree.")
    git_branch: str | None = Field(default=None, description="The branch then; null where there was none.")
    build_timestamp: Moment = Field(description="When the tree's newest file was written.")
    metadata: dict[str, str] = Field(description="Words that were kept with it.")
    files: int = Field(description="How many files it has.")
    size_bytes: int = Field(description="Of all of them together.")
    excluded: tuple[ExcludedPath, ...] = Field(default=(), description="What is in the tree, but not in the artifact.")
    registered_at: Moment = Field(description="When it was registered first.")


class ArtifactDiff(Abridgeable):
    """What differs from artifact a to artifact b."""

    artifact_id_a: str = Field(description="The older one.")
    artifact_id_b: str = Field(description="The newer one.")
    changed_modules: tuple[str, ...] = Field(description="Kernel modules in both, with another content.")
    changed_bins: tuple[str, ...] = Field(description="Programs in both, with another content.")
    git_log: str | None = Field(default=None, description="The commits in b that a has not, newest first.")
    added_modules: tuple[str, ...] = Field(default=(), description="Only in b.")
    removed_modules: tuple[str, ...] = Field(default=(), description="Only in a.")
    added_bins: tuple[str, ...] = Field(default=(), description="Only in b.")
    removed_bins: tuple[str, ...] = Field(default=(), description="Only in a.")
    other_changes: int = Field(default=0, description="How many other names were changed, added or removed.")
    changed_others: tuple[str, ...] = Field(default=(), description="Of those, the first 200 that were changed.")
    added_others: tuple[str, ...] = Field(default=(), description="The first 200 that were added.")
    removed_others: tuple[str, ...] = Field(default=(), description="The first 200 that were removed.")


class ArtifactRemoval(Frozen):
    """An artifact is no longer registered."""

    artifact_id: str = Field(description="Which one that was.")
    freed_bytes: int = Field(description="What only this artifact needed.")


class NodeSync(Frozen):
    """How a tree came to one node."""

    node_name: str = Field(description="Name of the node.")
    bytes_transferred: int = Field(description="What rsync sent to the node; 0 where it came to no end.")
    duration_s: float = Field(description="In seconds.")
    rsync_exit_code: int | None = Field(description="Null where rsync was not started.")
    skipped: bool = Field(description="The tree was there, complete, before.")
    basis: str | None = Field(default=None, description="The artifact on the node from which differences were sent.")
    error: ToolError | None = Field(default=None, description="Why the tree is not there; null where it is.")


class SyncStatus(Abridgeable):
    """How a tree came to each node."""

    artifact_id: str = Field(description="The artifact whose tree it is.")
    path: str = Field(description="Where the tree is on the nodes.")
    per_node: dict[str, NodeSync] = Field(description="By node: how the tree came there.")


class InstallMode(StrEnum):
    """What installing means."""

    MODPROBE_PATH = "modprobe_path"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class NodeInstall(Abridgeable):
    """How an installation went on one node."""

    node_name: str = Field(description="Name of the node.")
    exit_code: int | None = Field(description="Null where nothing was run on the node.")
    installed_module_paths: tuple[str, ...] = Field(description="Where modules were put, on the node.")
    depmod_output: str = Field(description="What depmod printed.")
    output: str = Field(default="", description="The last of what the installation printed.")
    error: ToolError | None = Field(default=None, description="Why it is not installed; null where it is.")


class InstallStatus(Abridgeable):
    """How an installation went on each node."""

    artifact_id: str | None = Field(description="What is installed there now; null after an uninstallation.")
    per_node: dict[str, NodeInstall] = Field(description="By node: how it went.")
