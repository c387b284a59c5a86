"""The tools, in the order in which clients list them: each calls one use case.

A tool's docstring is its description, written for the agent that chooses among tools.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from mcp_types import ToolAnnotations
from pydantic import Field

from reconciler.frontends.mcp.arguments import (
    ArtifactId,
    BuildTypeName,
    ClusterName,
    Command,
    CommandTimeout,
    DestBase,
    Environment,
    InstallModeName,
    Metadata,
    NodeName,
    Nodes,
    ShutdownTimeout,
    SnapshotName,
    SourcePath,
    SshTimeout,
    StandardInput,
    Start,
    StopModeName,
    Topology,
    TopologyName,
    TransferTimeout,
    WaitForSsh,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.fault_tools import net_fault_list, net_heal, net_heal_all, net_impair, net_partition
from reconciler.frontends.mcp.file_tools import node_console, node_pull, node_push
from reconciler.frontends.mcp.kernel_log_tools import dmesg_collect, dmesg_mark
from reconciler.model.record import StopMode
from reconciler.model.results import (
    ArtifactDiff,
    ArtifactRemoval,
    BuildArtifact,
    ClusterHandle,
    ClusterStatus,
    ClusterSummary,
    ExecAllResult,
    ExecResult,
    InstallStatus,
    NodeStatus,
    SnapshotDeleteResult,
    SnapshotInfo,
    SyncStatus,
    ToolResult,
)
from reconciler.service.plan_view import PlanView

LOOKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
TAKES_AWAY = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
INTERRUPTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)
RUNS_ANYTHING = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True
)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """One tool: what it does, what it is called for people, and what it may do to the world."""

    function: Callable[..., Any]
    title: str
    annotations: ToolAnnotations


async def cluster_list(call: Call) -> ToolResult[list[ClusterSummary]]:
    """List all clusters, also destroyed ones whose disks are kept. Quick: no node is asked anything."""
    return await ask(call, lambda use: use.inspection.clusters())


async def cluster_plan(call: Call, topology: Topology, start: Start = True) -> ToolResult[PlanView]:
    """Show what `cluster_apply` of a topology would do now, with a reason and a price for each action.

    Changes nothing. `disruption` says what an action costs: none, live, restart, recreate, data-loss.
    """
    return await ask(call, lambda use: use.plan(topology, start=start))


async def cluster_define(call: Call, topology_name: TopologyName) -> ToolResult[ClusterStatus]:
    """Make the networks, disks and domains of a topology exist, or match it after an edit. Nothing boots.

    Refused with APPROVAL_REQUIRED where that would restart nodes or lose data: `cluster_apply` can be told to.
    """
    return await settle(call, lambda use: use.clusters.define(topology_name, progress=use.progress))


async def cluster_apply(
    call: Call,
    topology: Topology,
    start: Start = True,
    wait_for_ssh: WaitForSsh = True,
    allow_restart: Annotated[bool, Field(description="Agree to power cycles of nodes that the change needs.")] = False,
    allow_data_loss: Annotated[
        bool, Field(description="Agree to the loss of disks that the change takes away.")
    ] = False,
    timeout_s: SshTimeout = 120,
) -> ToolResult[ClusterStatus]:
    """Converge a cluster to its topology and, with `start`, boot it: define and start in one. Repeat it freely.

    After an edit of the topology only what differs is changed; see `cluster_plan`. What would restart nodes or lose
    data is refused with APPROVAL_REQUIRED, and nothing is changed, unless the `allow_…` argument agrees to it.
    """
    return await settle(
        call,
        lambda use: use.clusters.apply(
            topology,
            start=start,
            wait_for_ssh=wait_for_ssh,
            approval=use.approval(restart=allow_restart, data_loss=allow_data_loss),
            timeout_s=timeout_s,
            progress=use.progress,
        ),
    )


async def cluster_start(
    call: Call, cluster_name: ClusterName, wait_for_ssh: WaitForSsh = True, ssh_timeout_s: SshTimeout = 120
) -> ToolResult[ClusterStatus]:
    """Boot all nodes of a defined cluster, and wait until each takes SSH logins. Nodes that run are left alone.

    One node without SSH in time is an error, SSH_TIMEOUT; calling again goes on waiting.
    """
    return await settle(
        call,
        lambda use: use.clusters.start(
            cluster_name, wait_for_ssh=wait_for_ssh, ssh_timeout_s=ssh_timeout_s, progress=use.progress
        ),
    )


async def cluster_status(call: Call, cluster_name: ClusterName) -> ToolResult[ClusterStatus]:
    """Look at a cluster as it is now: per node its state, SSH reachability, loaded modules and what is in its way."""
    return await ask(call, lambda use: use.inspection.status(cluster_name))


async def cluster_handle(call: Call, cluster_name: ClusterName) -> ToolResult[ClusterHandle]:
    """Get what it takes to log in to every node by SSH without these tools. The cluster must run whole."""
    return await ask(call, lambda use: use.inspection.handle(cluster_name))


async def cluster_stop(
    call: Call, cluster_name: ClusterName, mode: StopModeName = "shutdown", timeout_s: ShutdownTimeout = 60
) -> ToolResult[ClusterStatus]:
    """Power all nodes off; they are off when it answers. Disks and definitions stay.

    With `shutdown`, nodes that are still up in the end are named in the error; `destroy` never waits for them.
    """
    return await settle(
        call,
        lambda use: use.clusters.stop(cluster_name, mode=StopMode(mode), timeout_s=timeout_s, progress=use.progress),
    )


async def cluster_destroy(
    call: Call,
    cluster_name: ClusterName,
    remove_overlays: Annotated[
        bool,
        Field(description="Delete disks, seeds, host keys and snapshots too; false keeps them for a later define."),
    ] = False,
) -> ToolResult[ClusterStatus]:
    """Remove a cluster's domains and network, also while it runs. Base images and topology files are never touched."""
    return await settle(
        call,
        lambda use: use.clusters.destroy(cluster_name, remove_overlays=remove_overlays, progress=use.progress),
    )


async def node_crash(
    call: Call,
    cluster_name: ClusterName,
    node: NodeName,
    restart_after: Annotated[bool, Field(description="Boot the node again; false leaves it off.")] = True,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
) -> ToolResult[NodeStatus]:
    """Cut one node's power without warning, as in a power failure, then boot it again. Unwritten data is lost."""
    return await settle(
        call,
        lambda use: use.crash(
            cluster_name, node, restart_after=restart_after, wait_for_ssh=wait_for_ssh, ssh_timeout_s=ssh_timeout_s
        ),
    )


async def node_exec(
    call: Call,
    cluster_name: ClusterName,
    node_name: NodeName,
    command: Command,
    timeout_s: CommandTimeout = 30,
    env: Environment = None,
    stdin: StandardInput = None,
) -> ToolResult[ExecResult]:
    """Run one shell command on one node. A command that fails is a success of the tool: look at `exit_code`."""
    return await ask(
        call,
        lambda use: use.nodes.run(
            cluster_name, node_name, command, timeout_s=timeout_s, env=env, stdin=_encoded(stdin)
        ),
    )


async def node_exec_all(
    call: Call,
    cluster_name: ClusterName,
    command: Command,
    nodes: Nodes = None,
    require_all: Annotated[
        bool, Field(description="A node that cannot be asked is an error; false lists it in `errors` instead.")
    ] = True,
    timeout_s: CommandTimeout = 30,
    env: Environment = None,
    stdin: StandardInput = None,
) -> ToolResult[ExecAllResult]:
    """Run the same shell command on many nodes at once. A non-zero exit is a result: look at `failed_nodes`."""
    return await ask(
        call,
        lambda use: use.nodes.run_all(
            cluster_name,
            command,
            nodes=nodes,
            require_all=require_all,
            timeout_s=timeout_s,
            env=env,
            stdin=_encoded(stdin),
        ),
    )


async def snapshot_create(
    call: Call,
    cluster_name: ClusterName,
    snapshot_name: SnapshotName,
    include_memory: Annotated[
        bool,
        Field(
            description="Save the memory of running nodes too: a revert then goes on where they were, without a boot. "
            "Takes up to the nodes' memory on disk, and stops them for as long as it takes to write it."
        ),
    ] = False,
    quiesce: Annotated[
        bool,
        Field(
            description="Freeze the nodes' file systems meanwhile, which needs the QEMU guest agent in each; without "
            "it, disks are as after a power cut."
        ),
    ] = False,
) -> ToolResult[SnapshotInfo]:
    """Take a snapshot of all disks of all nodes at one moment, running or not, to come back to by `snapshot_revert`.

    Nodes that run are paused together and run on by themselves: for some milliseconds without memory (`pause_s` says
    how long). Without `include_memory`, a revert boots the nodes that ran. SNAPSHOT_EXISTS: the name is taken, delete
    that snapshot or take another name. SNAPSHOT_FAILED: none was taken, and the nodes are as before.
    """
    return await settle(
        call,
        lambda use: use.snapshots.create(
            cluster_name, snapshot_name, include_memory=include_memory, quiesce=quiesce, progress=use.progress
        ),
    )


async def snapshot_list(call: Call, cluster_name: ClusterName) -> ToolResult[list[SnapshotInfo]]:
    """List the snapshots of a cluster, the oldest first, with what each takes on disk. No node is asked anything.

    `lost` ones were taken and are missing on the host: they cannot be reverted to, only deleted.
    """
    return await ask(call, lambda use: use.snapshots.listing(cluster_name))


async def snapshot_revert(
    call: Call,
    cluster_name: ClusterName,
    snapshot_name: SnapshotName,
    restart_after: Annotated[
        bool,
        Field(description="Have each node run that ran in the snapshot; false leaves all of them off on its disks."),
    ] = True,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
) -> ToolResult[ClusterStatus]:
    """Take all nodes back to a snapshot: all of them, or none. What was written since then is lost, so save it first.

    From a snapshot with memory, nodes go on where they were, processes and all, within seconds and without a boot;
    clocks are set, SSH connections are new. From one without, nodes that ran are booted. Other snapshots stay.
    SNAPSHOT_NOT_FOUND, SNAPSHOT_LOST: snapshot_list says which there are. INVALID_ARGUMENT: the cluster has other nodes
    than the snapshot; apply a topology that has the same first.
    """
    return await settle(
        call,
        lambda use: use.snapshots.revert(
            cluster_name,
            snapshot_name,
            restart_after=restart_after,
            wait=wait_for_ssh,
            ssh_timeout_s=ssh_timeout_s,
            progress=use.progress,
        ),
    )


async def snapshot_delete(
    call: Call, cluster_name: ClusterName, snapshot_name: SnapshotName
) -> ToolResult[SnapshotDeleteResult]:
    """Delete a snapshot on every node, to free its space. Nodes go on as they are, and all other snapshots stay exact.

    SNAPSHOT_NOT_FOUND: it is gone already.
    """
    return await settle(call, lambda use: use.snapshots.delete(cluster_name, snapshot_name, progress=use.progress))


async def artifact_register(
    call: Call,
    source_path: SourcePath,
    build_type: BuildTypeName = "raw_tree",
    kernel_version: Annotated[
        str | None,
        Field(max_length=64, description="Kernel that it is for; left out: read from the tree or its modules."),
    ] = None,
    metadata: Metadata = None,
) -> ToolResult[BuildArtifact]:
    """Keep a built tree as it is now, under an id that its content decides. The same tree has the same id.

    An unchanged tree is registered again within a second. What cannot be part of it is listed in `excluded`, with the
    reason: links out of the tree, sockets. CONFLICT: the tree changed meanwhile, let the build end first.
    """
    return await ask(
        call,
        lambda use: use.artifacts.register(
            source_path, build_type, kernel_version=kernel_version, metadata=metadata, progress=use.progress
        ),
    )


async def artifact_list(call: Call) -> ToolResult[list[BuildArtifact]]:
    """List the registered artifacts with their modules, programs, kernel version and commit. No node is asked."""
    return await ask(call, lambda use: use.artifacts.listing())


async def artifact_diff(call: Call, artifact_id_a: ArtifactId, artifact_id_b: ArtifactId) -> ToolResult[ArtifactDiff]:
    """Compare two artifacts: modules and programs that were changed, added or removed, and the commits between."""
    return await ask(call, lambda use: use.artifacts.diff(artifact_id_a, artifact_id_b))


async def artifact_sync(
    call: Call,
    cluster_name: ClusterName,
    artifact_id: ArtifactId,
    nodes: Nodes = "all",
    force: Annotated[
        bool, Field(description="Make the tree exact again also where it is complete: programs may have changed it.")
    ] = False,
    dest_base: DestBase = "/opt/vmcluster/artifacts",
    timeout_s: TransferTimeout = 3600,
) -> ToolResult[SyncStatus]:
    """Bring an artifact's tree to `dest_base`/id on the nodes, all at once. Skipped where it is complete.

    Where an earlier artifact is on a node, only what differs travels; `bytes_transferred` says how much did.
    PARTIAL_FAILURE: `result` says of each node how it went; nothing half is taken for complete, so call again.
    """
    return await ask(
        call,
        lambda use: use.deployment.sync(
            cluster_name,
            artifact_id,
            nodes=nodes,
            force=force,
            dest_base=dest_base,
            timeout_s=timeout_s,
            progress=use.progress,
        ),
    )


async def artifact_install(
    call: Call,
    cluster_name: ClusterName,
    artifact_id: ArtifactId,
    nodes: Nodes = "all",
    install_mode: InstallModeName = "modprobe_path",
    dest_base: DestBase = "/opt/vmcluster/artifacts",
    timeout_s: TransferTimeout = 600,
) -> ToolResult[InstallStatus]:
    """Install a synced artifact on the nodes. Modules are not loaded: use `modprobe` by node_exec_all.

    `cluster_status` then shows it, and a revert to an earlier snapshot takes it back. ARTIFACT_NOT_SYNCED:
    artifact_sync first. INVALID_ARGUMENT: a module is for another kernel than a node runs; nothing was installed.
    """
    return await ask(
        call,
        lambda use: use.deployment.install(
            cluster_name,
            artifact_id,
            nodes=nodes,
            install_mode=install_mode,
            dest_base=dest_base,
            timeout_s=timeout_s,
            progress=use.progress,
        ),
    )


async def artifact_uninstall(
    call: Call, cluster_name: ClusterName, nodes: Nodes = "all", timeout_s: TransferTimeout = 600
) -> ToolResult[InstallStatus]:
    """Take out what artifact_install put on the nodes. Loaded modules stay loaded, synced trees stay there."""
    return await ask(
        call,
        lambda use: use.deployment.uninstall(cluster_name, nodes=nodes, timeout_s=timeout_s, progress=use.progress),
    )


async def artifact_remove(call: Call, artifact_id: ArtifactId) -> ToolResult[ArtifactRemoval]:
    """Forget an artifact and free what only it needs on the host. Nodes keep what they have."""
    return await ask(call, lambda use: use.artifacts.remove(artifact_id))


TOOLS = (
    ToolDefinition(cluster_list, "List clusters", LOOKS),
    ToolDefinition(cluster_plan, "Preview a change", LOOKS),
    ToolDefinition(cluster_define, "Define a cluster", ADDS),
    ToolDefinition(cluster_apply, "Apply a topology", TAKES_AWAY),
    ToolDefinition(cluster_start, "Start a cluster", ADDS),
    ToolDefinition(cluster_status, "Cluster status", LOOKS),
    ToolDefinition(cluster_handle, "SSH access to a cluster", LOOKS),
    ToolDefinition(cluster_stop, "Stop a cluster", TAKES_AWAY),
    ToolDefinition(cluster_destroy, "Destroy a cluster", TAKES_AWAY),
    ToolDefinition(node_crash, "Crash a node", INTERRUPTS),
    ToolDefinition(node_exec, "Run a command on a node", RUNS_ANYTHING),
    ToolDefinition(node_exec_all, "Run a command on many nodes", RUNS_ANYTHING),
    ToolDefinition(snapshot_create, "Take a snapshot", ADDS),
    ToolDefinition(snapshot_list, "List snapshots", LOOKS),
    ToolDefinition(snapshot_revert, "Revert to a snapshot", INTERRUPTS),
    ToolDefinition(snapshot_delete, "Delete a snapshot", TAKES_AWAY),
    ToolDefinition(net_partition, "Partition the network", ADDS),
    ToolDefinition(net_impair, "Impair the network", ADDS),
    ToolDefinition(net_heal, "Heal a network fault", ADDS),
    ToolDefinition(net_heal_all, "Heal all network faults", ADDS),
    ToolDefinition(net_fault_list, "List network faults", LOOKS),
    ToolDefinition(node_console, "Read a console", LOOKS),
    ToolDefinition(node_push, "Copy files to nodes", RUNS_ANYTHING),
    ToolDefinition(node_pull, "Copy files from a node", TAKES_AWAY),
    ToolDefinition(dmesg_mark, "Mark kernel logs", ADDS),
    ToolDefinition(dmesg_collect, "Collect kernel logs", LOOKS),
    ToolDefinition(artifact_register, "Register a build", ADDS),
    ToolDefinition(artifact_list, "List builds", LOOKS),
    ToolDefinition(artifact_diff, "Compare two builds", LOOKS),
    ToolDefinition(artifact_sync, "Bring a build to nodes", ADDS),
    ToolDefinition(artifact_install, "Install a build", TAKES_AWAY),
    ToolDefinition(artifact_uninstall, "Uninstall a build", TAKES_AWAY),
    ToolDefinition(artifact_remove, "Remove a build", TAKES_AWAY),
)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
