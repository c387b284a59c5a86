"""The tools, in the order in which clients list them: each calls one use case.

A tool's docstring is its description, written for the agent that chooses among tools.
"""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp import artifact_tools, fault_tools, file_tools, kernel_log_tools, snapshot_tools
from reconciler.frontends.mcp.arguments import (
    ClusterName,
    Command,
    CommandTimeout,
    Environment,
    NodeName,
    Nodes,
    ShutdownTimeout,
    SshTimeout,
    StandardInput,
    Start,
    StopModeName,
    TopologyName,
    WaitForSsh,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.definition import ADDS, INTERRUPTS, LOOKS, RUNS_ANYTHING, TAKES_AWAY, ToolDefinition
from reconciler.model.record import StopMode
from reconciler.model.results import (
    ClusterHandle,
    ClusterStatus,
    ClusterSummary,
    ExecAllResult,
    ExecResult,
    NodeStatus,
    ToolResult,
)
from reconciler.records.plan_view import PlanView


async def cluster_list(call: Call) -> ToolResult[list[ClusterSummary]]:
    """List all clusters, also destroyed ones whose disks are kept. Quick: no node is asked anything."""
    return await ask(call, lambda use: use.inspection.clusters())


async def cluster_plan(call: Call, topology: TopologyName, start: Start = True) -> ToolResult[PlanView]:
    """Show what `cluster_apply` of a topology would do now, with a reason and a price for each action.

    Changes nothing. The way back of sick nodes is in it: paused ones run on, `memory` kept; crashed ones boot, lost.
    `disruption` says what an action costs: none, live, restart, recreate, remove, data-loss; `approvals` names the
    arguments that agree to all of it. `plan_hash` names the plan for `cluster_apply`.
    """
    return await ask(call, lambda use: use.plan(topology, start=start))


async def cluster_define(call: Call, topology_name: TopologyName) -> ToolResult[ClusterStatus]:
    """Make the networks, disks and domains of a topology exist, or match it after an edit. Nothing boots.

    Refused with APPROVAL_REQUIRED where that would restart nodes or lose data: `cluster_apply` can be told to.
    """
    return await settle(call, lambda use: use.clusters.define(use.named(topology_name), progress=use.progress))


async def cluster_apply(
    call: Call,
    topology: TopologyName,
    start: Start = True,
    wait_for_ssh: WaitForSsh = True,
    allow_restart: Annotated[bool, Field(description="Agree to power cycles of nodes that the change needs.")] = False,
    allow_data_loss: Annotated[
        bool, Field(description="Agree to the loss of disks that the change takes away.")
    ] = False,
    plan_hash: Annotated[
        str | None,
        Field(description="Do exactly what `cluster_plan` answered with this hash, or answer CONFLICT."),
    ] = None,
    timeout_s: SshTimeout = 120,
) -> ToolResult[ClusterStatus]:
    """Converge a cluster to its topology and, with `start`, boot it: define and start in one. Repeat it freely.

    Paused nodes run on. After an edit of the topology only what differs is changed; see `cluster_plan`. What would
    restart nodes or lose data is refused with APPROVAL_REQUIRED, and nothing is changed, unless the `allow_…` argument
    agrees to it.
    """
    return await settle(
        call,
        lambda use: use.clusters.apply(
            use.named(topology),
            start=start,
            wait_for_ssh=wait_for_ssh,
            approval=use.approval(restart=allow_restart, data_loss=allow_data_loss),
            plan_hash=plan_hash,
            timeout_s=timeout_s,
            progress=use.progress,
        ),
    )


async def cluster_start(
    call: Call,
    cluster_name: ClusterName,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
    nodes: Nodes = None,
) -> ToolResult[ClusterStatus]:
    """Boot nodes of a defined cluster, and wait until each takes SSH logins. Nodes that run are left alone.

    Paused nodes run on. Without `nodes`, every node. One node without SSH in time is an error, SSH_TIMEOUT; calling
    again goes on waiting. Nodes with `user_data` are also waited for until cloud-init is done (condition Provisioned):
    TIMEOUT where it takes longer, PROVISIONING_FAILED where it failed; the nodes run on.
    """
    return await settle(
        call,
        lambda use: use.clusters.start(
            cluster_name, wait_for_ssh=wait_for_ssh, ssh_timeout_s=ssh_timeout_s, nodes=nodes, progress=use.progress
        ),
    )


async def cluster_restart(
    call: Call,
    cluster_name: ClusterName,
    nodes: Nodes = None,
    mode: StopModeName = "shutdown",
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
) -> ToolResult[ClusterStatus]:
    """Bring nodes down and boot them again; without `nodes`, every node. A node that is off boots.

    With `shutdown`, a node that does not go down in time has its power cut.
    """
    return await settle(
        call,
        lambda use: use.clusters.restart(
            cluster_name,
            nodes=nodes,
            mode=StopMode(mode),
            wait_for_ssh=wait_for_ssh,
            ssh_timeout_s=ssh_timeout_s,
            progress=use.progress,
        ),
    )


async def cluster_status(call: Call, cluster_name: ClusterName) -> ToolResult[ClusterStatus]:
    """Look at a cluster as it is now: per node its state, SSH reachability, loaded modules and what is in its way."""
    return await ask(call, lambda use: use.inspection.status(cluster_name))


async def cluster_handle(
    call: Call,
    cluster_name: ClusterName,
    partial: Annotated[bool, Field(description="Answer for the nodes that run, and name the others.")] = False,
) -> ToolResult[ClusterHandle]:
    """Get what it takes to log in to every node by SSH without these tools. Without `partial` all of them must run."""
    return await ask(call, lambda use: use.inspection.handle(cluster_name, partial=partial))


async def cluster_stop(
    call: Call,
    cluster_name: ClusterName,
    mode: StopModeName = "shutdown",
    timeout_s: ShutdownTimeout = 60,
    nodes: Nodes = None,
) -> ToolResult[ClusterStatus]:
    """Power nodes off; they are off when it answers, and stay off until they are started. Disks stay.

    Without `nodes`, every node. With `shutdown`, nodes that are still up in the end are named in the error; `destroy`
    never waits for them.
    """
    return await settle(
        call,
        lambda use: use.clusters.stop(
            cluster_name, mode=StopMode(mode), timeout_s=timeout_s, nodes=nodes, progress=use.progress
        ),
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
    """Run one shell command on one node. A command that fails is a success of the tool: look at `exit_code`.

    The answer comes when the shell has ended; what it leaves running goes on. For what takes longer than you can wait,
    run `(make test; echo $? >/tmp/job.exit) >/tmp/job.log 2>&1 &`, then poll: `tail /tmp/job.log; cat /tmp/job.exit`.
    """
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


TOOLS = (
    ToolDefinition(cluster_list, "List clusters", LOOKS, (), "clusters"),
    ToolDefinition(cluster_plan, "Preview a change", LOOKS, ("actions",), "actions", measured=True, names_files=True),
    ToolDefinition(cluster_define, "Define a cluster", ADDS, names_files=True),
    ToolDefinition(cluster_apply, "Apply a topology", TAKES_AWAY, names_files=True),
    ToolDefinition(cluster_start, "Start a cluster", ADDS),
    ToolDefinition(cluster_restart, "Restart nodes", INTERRUPTS),
    ToolDefinition(cluster_status, "Cluster status", LOOKS, ("nodes",), "nodes", measured=True),
    ToolDefinition(cluster_handle, "SSH access to a cluster", LOOKS, ("nodes",), "nodes"),
    ToolDefinition(cluster_stop, "Stop a cluster", TAKES_AWAY),
    ToolDefinition(cluster_destroy, "Destroy a cluster", TAKES_AWAY),
    ToolDefinition(node_crash, "Crash a node", INTERRUPTS),
    ToolDefinition(node_exec, "Run a command on a node", RUNS_ANYTHING, measured=True),
    ToolDefinition(node_exec_all, "Run a command on many nodes", RUNS_ANYTHING, measured=True),
    *snapshot_tools.TOOLS,
    *fault_tools.TOOLS,
    *file_tools.TOOLS,
    *kernel_log_tools.TOOLS,
    *artifact_tools.TOOLS,
)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
