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
from reconciler.frontends.mcp.definition import ADDS, INTERRUPTS, LOOKS, TAKES_AWAY, ToolDefinition
from reconciler.model.results import (
    ClusterStatus,
    SnapshotDeleteResult,
    SnapshotInfo,
    ToolResult,
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
    that snapshot or take another name. SNAPSHOT_FAILED: none was taken, and the nodes are as before. `warnings` names
    nodes that cloud-init may still work on.
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
    SNAPSHOT_NOT_FOUND, SNAPSHOT_LOST: snapshot_list says which there are. REVERT_FAILED: nothing was changed, as
    the cluster has other nodes than the snapshot (apply a topology that has the same first) or a file is not whole.
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


TOOLS = (
    ToolDefinition(snapshot_create, "Take a snapshot", ADDS),
    ToolDefinition(snapshot_list, "List snapshots", LOOKS, (), "snapshots", measured=True),
    ToolDefinition(snapshot_revert, "Revert to a snapshot", INTERRUPTS),
    ToolDefinition(snapshot_delete, "Delete a snapshot", TAKES_AWAY),
)
