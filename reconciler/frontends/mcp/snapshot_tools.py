"""The tools for snapshots. As in `tools`, a docstring is a description for the agent that chooses among them."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import (
    ClusterName,
    SnapshotName,
    SshTimeout,
    WaitForSsh,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import ADDS, INTERRUPTS, LOOKS, TAKES_AWAY, ToolDefinition
from reconciler.model.results import (
    ClusterStatus,
    SnapshotDeleteResult,
    SnapshotInfo,
    ToolResult,
)
from reconciler.usecases.snapshot_tree import SnapshotTree


async def snapshot_create(
    call: Call,
    cluster_name: ClusterName,
    snapshot_name: SnapshotName,
    include_memory: Annotated[
        bool,
        Field(
            description="Also save memory: a revert then resumes the nodes without a boot. Pauses them meanwhile, and "
            "takes up to their memory's size on disk."
        ),
    ] = False,
    quiesce: Annotated[
        bool,
        Field(description="Freeze file systems meanwhile; needs the QEMU guest agent. Default: as after a power cut."),
    ] = False,
) -> ToolResult[SnapshotInfo]:
    """Take a consistent snapshot of all disks of all nodes, running or not; revert to it with `snapshot_revert`.

    Running nodes are paused meanwhile (`pause_s`), without memory for milliseconds. Without `include_memory`, a revert
    boots the nodes that ran. SNAPSHOT_FAILED: nothing was changed.
    """
    return await settle(
        call,
        lambda use: use.snapshots.create(cluster_name, snapshot_name, include_memory=include_memory, quiesce=quiesce),
    )


async def snapshot_list(call: Call, cluster_name: ClusterName) -> ToolResult[list[SnapshotInfo]]:
    """List the snapshots of a cluster, oldest first, with the size of each on disk.

    Contacts no node. `lost` ones are missing on the host: they cannot be reverted to, only deleted.
    """
    return await ask(call, lambda use: use.snapshots.listing(cluster_name))


async def snapshot_tree(call: Call, cluster_name: ClusterName) -> ToolResult[SnapshotTree]:
    """Show which snapshot is based on which, and on which one each node's disks stand now."""
    return await ask(call, lambda use: use.upkeep.tree(cluster_name))


async def snapshot_revert(
    call: Call,
    cluster_name: ClusterName,
    snapshot_name: SnapshotName,
    restart_after: Annotated[
        bool,
        Field(description="Start the nodes that ran in the snapshot; false leaves all of them off."),
    ] = True,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
    heal: Annotated[bool, Field(description="Also end all network faults.")] = False,
) -> ToolResult[ClusterStatus]:
    """Revert all nodes to a snapshot: all of them, or none. Everything written since then is lost, so save it first.

    From a snapshot with memory, nodes resume within seconds and without a boot; clocks are set. From one without, nodes
    that ran are booted. Other snapshots stay, and so do faults (`faults_in_force`) without `heal`. REVERT_FAILED:
    nothing was changed.
    """
    return await settle(
        call,
        lambda use: use.snapshots.revert(
            cluster_name,
            snapshot_name,
            restart_after=restart_after,
            wait=wait_for_ssh,
            ssh_timeout_s=ssh_timeout_s,
            heal=heal,
        ),
    )


async def snapshot_delete(
    call: Call, cluster_name: ClusterName, snapshot_name: SnapshotName
) -> ToolResult[SnapshotDeleteResult]:
    """Delete a snapshot on all nodes and free its space. Nodes and other snapshots are not affected."""
    return await settle(call, lambda use: use.snapshots.delete(cluster_name, snapshot_name))


async def cluster_fork(
    call: Call,
    cluster_name: ClusterName,
    new_name: Annotated[str, Field(description="Name of the fork; with `count`, it gets -1, -2, …")],
    snapshot_name: Annotated[
        str | None, Field(description="Snapshot to continue from. Default: one with memory, taken now.")
    ] = None,
    count: Annotated[int, Field(ge=1, description="How many forks to make.")] = 1,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
) -> ToolResult[list[ClusterStatus]]:
    """Make clusters that continue from a snapshot of this one, beside it: to try several things from one state.

    Nodes have the same names, addresses and running processes in each; forks hear neither each other nor this cluster.
    A fork is a cluster like any other. The snapshot stays as long as a fork of it does.
    """
    return await settle(
        call,
        lambda use: use.forks.make(
            cluster_name,
            new_name,
            snapshot=snapshot_name,
            count=count,
            wait=wait_for_ssh,
            ssh_timeout_s=ssh_timeout_s,
        ),
    )


TOOLS = (
    ToolDefinition(snapshot_create, "Take a snapshot", ADDS),
    ToolDefinition(snapshot_list, "List snapshots", LOOKS, (), "snapshots", measured=True),
    ToolDefinition(snapshot_tree, "Show the tree of snapshots", LOOKS, measured=True),
    ToolDefinition(snapshot_revert, "Revert to a snapshot", INTERRUPTS),
    ToolDefinition(cluster_fork, "Fork a cluster", ADDS),
    ToolDefinition(snapshot_delete, "Delete a snapshot", TAKES_AWAY),
)
