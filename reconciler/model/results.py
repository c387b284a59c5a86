"""What the tools return. Names and meanings are fixed by the contract; fields may be added, never changed."""

from enum import StrEnum
from typing import Generic, Self, TypeVar

from pydantic import Field

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.choices import BuildType
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.message_text import MessageText
from reconciler.model.snapshot import SnapshotPower
from reconciler.model.status import Condition
from reconciler.model.timestamps import Moment

T = TypeVar("T")


class Version(Frozen):
    """The installed release."""

    version: str = Field(description="The version, as `pip` reports it.")


class ToolError(Frozen):
    """Why a tool failed, and whether trying again, or reverting, can help."""

    code: ErrorCode = Field(description="The kind of failure: see the table of error codes.")
    message: MessageText = Field(description="What failed, where, and what to do about it.")
    node: str | None = Field(default=None, description="The node concerned; null if it is not a single one.")
    recoverable: bool = Field(description="Whether trying again, or reverting, can help.")

    @classmethod
    def of(cls, error: ClusterError) -> Self:
        return cls(code=error.code, message=str(error), node=error.node, recoverable=error.recoverable)


class ToolResult(Frozen, Generic[T]):
    """The envelope of every tool's answer. Beside an error, `result` holds whatever could still be determined."""

    success: bool = Field(description="Whether the call succeeded; `error` is null then.")
    result: T | None = Field(
        default=None, description="The answer; beside an error, whatever could still be determined, or null."
    )
    error: ToolError | None = Field(default=None, description="Why it failed; null if it did not.")
    next: str = Field(default="", description="The next sensible call, or what to do instead.")


class DomainState(StrEnum):
    """A node's domain as `virsh domstate` names it; `unknown` also means a domain that is not defined.

    A domain stopped by a QEMU internal error, which libvirt calls paused, is `crashed`: it cannot continue.
    """

    RUNNING = "running"
    SHUT_OFF = "shut off"
    PAUSED = "paused"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


class NodeStatus(Abridgeable):
    """One node as observed just now."""

    name: str = Field(description="Name of the node.")
    role: str = Field(description="The role in the topology; empty if it has none.")
    ip: str = Field(description="Its address in the cluster's network.")
    domain_state: DomainState = Field(
        description="As observed; `crashed`: stopped by a QEMU internal error; `unknown` includes: not defined."
    )
    ssh_reachable: bool = Field(description="It accepted an SSH login just now.")
    ssh_error: ToolError | None = Field(default=None, description="Why it accepts no login; null if it does.")
    clock_offset_s: float | None = Field(
        default=None,
        description="By how much its clock is ahead of the host's, or behind it if negative; null if by little.",
    )
    artifact_id_installed: str | None = Field(
        default=None,
        description="The artifact installed last; null if there is none, or the node does not respond.",
    )
    loaded_modules: tuple[str, ...] = Field(
        default=(), description="Kernel modules, by name; empty if the node does not respond."
    )
    message: MessageText | None = Field(default=None, description="What is wrong with this node, and the remedy.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="KernelHealthy: false from the first bad event that the kernel reported since its boot; unknown, "
        "with reason NoSignOfLife, if the node has shown no sign of life for a minute. Provisioned: whether cloud-init "
        "has finished in this boot; false while it runs (CloudInitRunning) and if it failed (CloudInitFailed).",
    )
    first_bad_event: KernelEvent | None = Field(default=None, description="That event, with its trace.")


_FORKED_FROM = "Of a fork: the cluster and the snapshot that it was made from, as `CLUSTER@SNAPSHOT`."


class ClusterStatus(Abridgeable):
    """A cluster as observed just now; `observed_generation` is the generation that was processed last."""

    cluster_name: str = Field(description="Name of the cluster.")
    network_active: bool = Field(description="Whether its libvirt network is up.")
    nodes: tuple[NodeStatus, ...] = Field(description="In the order of the topology.")
    generation: int = Field(default=0, description="Version of the desired state; grows with each change.")
    observed_generation: int = Field(
        default=0, description="The generation processed last; if less than `generation`, a change is still pending."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Conditions of the cluster as a whole, as of the last round."
    )
    faults_in_force: tuple[str, ...] = Field(
        default=(), description="Handles of the network faults that are desired now, also after a revert."
    )
    removed_nodes: tuple[str, ...] = Field(
        default=(), description="After a destroy: the nodes whose machines it removed."
    )
    disks_kept: bool | None = Field(
        default=None, description="After a destroy: whether disks and snapshots are kept; null otherwise."
    )
    forked_from: str | None = Field(default=None, description=_FORKED_FROM)


class GuestDisk(Frozen):
    """An extra disk of a node: its file on the host, and its path in the guest."""

    path: str = Field(description="The file on the host.")
    guest_path: str = Field(description="A stable path, whatever name the guest's kernel gives the disk.")
    size_bytes: int = Field(description="As the guest sees it.")


class NodeDescriptor(Frozen):
    """Everything needed to log in to one node."""

    name: str = Field(description="Name of the node.")
    role: str = Field(description="The role in the topology; empty if it has none.")
    ip: str = Field(description="Its address, reachable from the host.")
    bind_address: str | None = Field(
        default=None,
        description="Of a fork: connect from this address of the host (`ssh -b`), as others have the same `ip`.",
    )
    bind_interface: str | None = Field(
        default=None,
        description="Of a fork: connect by this interface as well (`SO_BINDTODEVICE`), in case a route is lost.",
    )
    ssh_port: int = Field(default=22, description="Port of its SSH server.")
    ssh_user: str = Field(description="User to log in as.")
    ssh_key_path: str = Field(description="Path of the private key on the host.")
    host_key: str = Field(description="The node's public SSH host key, in known_hosts format.")
    extra_disks: tuple[GuestDisk, ...] = Field(default=(), description="In the order of the topology.")


class ClusterHandle(Abridgeable):
    """What a consumer needs to use a running cluster by itself."""

    cluster_name: str = Field(description="Name of the cluster.")
    nodes: tuple[NodeDescriptor, ...] = Field(description="In the order of the topology.")
    artifact_path: str | None = Field(
        default=None, description="Path of the installed artifact's tree on the nodes; null if none is installed."
    )
    kernel_version: str = Field(description="Of the first node, as `uname -r` prints it.")
    kernel_versions: dict[str, str] = Field(description="Of every node, by node name.")
    unreachable: dict[str, ToolError] = Field(
        default={}, description="With `partial`: the nodes missing from `nodes`, and why they did not respond."
    )


class ExecResult(Frozen):
    """One finished (or timed out) shell command; bytes that are not UTF-8 are `replaced` by U+FFFD."""

    exit_code: int = Field(description="The command's own; 124 after a time-out.")
    stdout: str = Field(description="Standard output as text.")
    stderr: str = Field(description="Standard error as text.")
    duration_s: float = Field(description="From start to end, in seconds.")
    timed_out: bool = Field(description="It ran out of time and was killed.")
    left_running: bool = Field(
        default=False, description="After a time-out: a service that the command started still holds its output open."
    )
    stdout_truncated: bool = Field(default=False, description="Part of it is omitted.")
    stderr_truncated: bool = Field(default=False, description="Part of it is omitted.")
    stdout_replaced: bool = Field(default=False, description="Bytes that were not UTF-8 are replaced by U+FFFD.")
    stderr_replaced: bool = Field(default=False, description="Bytes that were not UTF-8 are replaced by U+FFFD.")
    stdout_omitted_bytes: int = Field(default=0, description="Bytes omitted between its beginning and end.")
    stderr_omitted_bytes: int = Field(default=0, description="Bytes omitted between its beginning and end.")
    kernel_event: MessageText | None = Field(
        default=None, description="What the node's kernel reported on its console meanwhile: an oops, a panic."
    )


class ExecAllResult(Abridgeable):
    """The same command on many nodes; `failed_nodes` are those with a non-zero exit, a time-out or no response."""

    results: dict[str, ExecResult] = Field(description="By node, for those that responded.")
    all_succeeded: bool = Field(description="Every node responded, with exit code 0.")
    failed_nodes: tuple[str, ...] = Field(description="Nodes with a non-zero exit code, a time-out or no response.")
    errors: dict[str, ToolError] = Field(default={}, description="By node: why it did not respond.")


class NodeSummary(Frozen):
    """One node in a list of clusters: what is known without looking at the host."""

    name: str = Field(description="Name of the node.")
    role: str = Field(description="The role in the topology; empty if it has none.")
    ip: str = Field(description="Its address in the cluster's network.")


class ClusterSummary(Abridgeable):
    """One entry in a list of clusters; for a `destroyed` one only the disks are left."""

    cluster_name: str = Field(description="Name of the cluster.")
    nodes: tuple[NodeSummary, ...] = Field(description="In the order of the topology.")
    node_count: int = Field(description="Number of nodes, even if `nodes` is shortened.")
    wanted_running: int = Field(description="How many of them are meant to run.")
    destroyed: bool = Field(description="Its machines are gone, its disks are kept.")
    generation: int = Field(description="Version of the desired state; grows with each change.")
    conditions: tuple[Condition, ...] = Field(default=(), description="As of the last round.")
    forked_from: str | None = Field(default=None, description=_FORKED_FROM)
    unreadable: MessageText = Field(
        default="", description="Why its record or status cannot be read, with the remedy; empty if both can."
    )

    @classmethod
    def of_unreadable(cls, name: str, why: str) -> "ClusterSummary":
        """A cluster of which nothing but its name is known."""
        return cls(
            cluster_name=name,
            nodes=(),
            node_count=0,
            wanted_running=0,
            destroyed=False,
            generation=0,
            unreadable=why,
        )


class SnapshotFile(Frozen):
    """A file of a snapshot, and the disk space it uses."""

    path: str = Field(description="Path on the host.")
    size_bytes: int = Field(description="Disk space used.")


class SnapshotNodeInfo(Frozen):
    """One node's part of a snapshot; `size_bytes` is the disk space of its frozen layers and its memory."""

    node_name: str = Field(description="Name of the node.")
    disk_path: str = Field(description="The frozen layer of the root disk.")
    size_bytes: int = Field(description="Disk space of all its files: `disks` and memory (`memory_bytes`) together.")
    memory_path: str | None = Field(
        default=None, description="The file with the machine's memory; null if memory was not saved."
    )
    power: SnapshotPower = Field(description="The node's power state then, which a revert restores.")
    disks: dict[str, SnapshotFile] = Field(description="The frozen layer of every disk, by target: vda, vdb, …")
    memory_bytes: int = Field(default=0, description="The part of `size_bytes` that is memory.")


class SnapshotInfo(Abridgeable):
    """A snapshot of a whole cluster. A `lost` one was taken and no longer exists."""

    snapshot_name: str = Field(description="Name of the snapshot.")
    cluster_name: str = Field(description="Name of the cluster.")
    created_at: Moment | None = Field(description="When it was taken; null for a lost one.")
    per_node: dict[str, SnapshotNodeInfo] = Field(description="By node: its part of the snapshot.")
    include_memory: bool = Field(default=False, description="The nodes' memory was saved too.")
    pause_s: float = Field(
        default=0.0, description="How long running nodes were paused for it; their clocks are behind by as much."
    )
    lost: bool = Field(default=False, description="It was taken and no longer exists.")
    parent: str | None = Field(
        default=None, description="The snapshot that its disks are based on; null for the base image, or if not known."
    )
    warnings: tuple[MessageText, ...] = Field(
        default=(), description="On creation: what may not be as intended, such as nodes where cloud-init still runs."
    )


class SnapshotNodeDeletion(Frozen):
    """Whether one node's part of a snapshot was deleted."""

    node_name: str = Field(description="Name of the node.")
    deleted: bool = Field(description="Its part is deleted.")
    error: MessageText | None = Field(default=None, description="Why not; null if it is deleted.")


class SnapshotDeleteResult(Abridgeable):
    """The result of deleting a snapshot's name on every node; layers that others need stay."""

    snapshot_name: str = Field(description="Name of the snapshot.")
    cluster_name: str = Field(description="Name of the cluster.")
    per_node: dict[str, SnapshotNodeDeletion] = Field(description="By node: whether its part is deleted.")
    freed_bytes: int = Field(default=0, description="Disk space on this host that only this snapshot used.")


class ExcludedPath(Frozen):
    """A path of a tree that is not part of its artifact, and why."""

    path: str = Field(description="Relative to the tree.")
    reason: str = Field(description="Why it was excluded.")


class BuildArtifact(Abridgeable):
    """A registered build tree. Paths are relative to it; bytes in them that are not UTF-8 are escaped."""

    artifact_id: str = Field(description="SHA-256 over all paths, modes, contents and link targets of the tree.")
    source_path: str = Field(description="Where the tree was registered from, on the host.")
    build_type: BuildType = Field(description="How it was built, as given at registration.")
    kernel_version: str | None = Field(description="The version of the tree's kernel, or the one its modules are for.")
    modules: tuple[str, ...] = Field(description="Paths of kernel modules.")
    userspace_bins: tuple[str, ...] = Field(description="Paths of programs.")
    test_framework_path: str | None = Field(default=None, description="Path of its tests; null if none were found.")
    git_sha: str | None = Field(default=None, description="The commit it was built from; null outside a git work tree.")
    git_branch: str | None = Field(default=None, description="The branch at that time; null if there was none.")
    build_timestamp: Moment = Field(description="When the tree's newest file was written.")
    metadata: dict[str, str] = Field(description="Values stored with it.")
    files: int = Field(description="Number of files.")
    size_bytes: int = Field(description="Total size of the files.")
    excluded: tuple[ExcludedPath, ...] = Field(default=(), description="Paths in the tree that the artifact omits.")
    registered_at: Moment = Field(description="When it was first registered.")


class SizeChange(Frozen):
    """The size of a file in both artifacts; null where it is not."""

    bytes_a: int | None = Field(description="In a; null if it is not there.")
    bytes_b: int | None = Field(description="In b; null if it is not there.")


class ArtifactDiff(Abridgeable):
    """The differences from artifact a to artifact b."""

    artifact_id_a: str = Field(description="The older one.")
    artifact_id_b: str = Field(description="The newer one.")
    changed_modules: tuple[str, ...] = Field(description="Kernel modules in both, with different contents.")
    changed_bins: tuple[str, ...] = Field(description="Programs in both, with different contents.")
    git_log: str | None = Field(default=None, description="The commits in b that are not in a, newest first.")
    added_modules: tuple[str, ...] = Field(default=(), description="Only in b.")
    removed_modules: tuple[str, ...] = Field(default=(), description="Only in a.")
    added_bins: tuple[str, ...] = Field(default=(), description="Only in b.")
    removed_bins: tuple[str, ...] = Field(default=(), description="Only in a.")
    sizes: dict[str, SizeChange] = Field(
        default={}, description="By path: the sizes of these modules and programs in both."
    )
    other_changes: int = Field(default=0, description="How many other paths were changed, added or removed.")
    changed_others: tuple[str, ...] = Field(default=(), description="The first 200 of those that were changed.")
    added_others: tuple[str, ...] = Field(default=(), description="The first 200 of those that were added.")
    removed_others: tuple[str, ...] = Field(default=(), description="The first 200 of those that were removed.")


class ArtifactRemoval(Frozen):
    """The result of removing an artifact from the registry."""

    artifact_id: str = Field(description="The artifact that was removed.")
    freed_bytes: int = Field(description="Disk space that only this artifact used.")


class NodeSync(Frozen):
    """The transfer of a tree to one node."""

    node_name: str = Field(description="Name of the node.")
    bytes_transferred: int = Field(description="Bytes that rsync sent to the node; 0 if it did not finish.")
    duration_s: float = Field(description="In seconds.")
    rsync_exit_code: int | None = Field(description="Null if rsync was not started.")
    skipped: bool = Field(description="The complete tree was already there.")
    basis: str | None = Field(default=None, description="The artifact on the node that only differences were sent to.")
    error: ToolError | None = Field(default=None, description="Why the tree is not there; null if it is.")


class SyncStatus(Abridgeable):
    """The transfer of a tree to each node."""

    artifact_id: str = Field(description="The artifact that was transferred.")
    path: str = Field(description="Path of the tree on the nodes.")
    per_node: dict[str, NodeSync] = Field(description="By node: how the transfer went.")


class NodeInstall(Abridgeable):
    """The outcome of an installation on one node."""

    node_name: str = Field(description="Name of the node.")
    exit_code: int | None = Field(description="Null if nothing was run on the node.")
    installed_module_paths: tuple[str, ...] = Field(description="Paths of the installed modules on the node.")
    depmod_output: str = Field(description="What depmod printed.")
    output: str = Field(default="", description="The end of what the installation printed.")
    error: ToolError | None = Field(default=None, description="Why it is not installed; null if it is.")


class InstallStatus(Abridgeable):
    """The outcome of an installation on each node."""

    artifact_id: str | None = Field(description="The artifact installed now; null after an uninstallation.")
    per_node: dict[str, NodeInstall] = Field(description="By node: how it went.")
