"""The tools, in the order in which clients list them. Each calls one use case.

A tool's docstring is its description, written for the agent that chooses among tools.
"""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp import (
    artifact_tools,
    fault_tools,
    file_tools,
    host_tools,
    image_tools,
    job_tools,
    kernel_log_tools,
    record_tools,
    snapshot_tools,
    topology_tools,
)
from reconciler.frontends.mcp.arguments import (
    AllowDataLoss,
    AllowRestart,
    ClusterName,
    Command,
    CommandTimeout,
    Environment,
    NamedTopology,
    NodeName,
    Nodes,
    PlanHash,
    ShutdownTimeout,
    SshTimeout,
    StandardInput,
    Start,
    StopModeName,
    TopologyYaml,
    WaitForSsh,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import ADDS, INTERRUPTS, LOOKS, RUNS_ANYTHING, TAKES_AWAY, ToolDefinition
from reconciler.frontends.mcp.topology_tools import given
from reconciler.model.choices import StopMode
from reconciler.model.results import (
    ClusterHandle,
    ClusterStatus,
    ClusterSummary,
    ExecAllResult,
    ExecResult,
    NodeStatus,
    ToolResult,
)
from reconciler.records.approval import Approval
from reconciler.records.plan_view import PlanView, plan_view
from reconciler.usecases.application import UseCases


async def cluster_list(call: Call) -> ToolResult[list[ClusterSummary]]:
    """List all clusters, including destroyed ones whose disks are kept. Quick: contacts no node."""
    return await ask(call, lambda use: use.inspection.clusters())


async def cluster_plan(
    call: Call, topology: NamedTopology = None, start: Start = True, topology_yaml: TopologyYaml = None
) -> ToolResult[PlanView]:
    """Show what `cluster_apply` of a topology would do now, with a reason and a cost for each action.

    It includes the recovery of failed nodes: paused ones are resumed (`memory` kept), crashed ones are rebooted (lost).
    `disruption` is the cost of an action; `approvals` are the arguments that approve all of it.
    """

    async def plan(use: UseCases) -> PlanView:
        return plan_view(await use.clusters.plan(given(use, topology, topology_yaml), start=start))

    return await ask(call, plan)


async def cluster_define(
    call: Call, topology_name: NamedTopology = None, topology_yaml: TopologyYaml = None
) -> ToolResult[ClusterStatus]:
    """Create the networks, disks and domains of a topology, or update them after an edit. Boots nothing.

    Refused with APPROVAL_REQUIRED if that would restart nodes or lose data: approve it with `cluster_apply`.
    """
    return await settle(call, lambda use: use.clusters.define(given(use, topology_name, topology_yaml)))


async def cluster_apply(
    call: Call,
    topology: NamedTopology = None,
    start: Start = True,
    wait_for_ssh: WaitForSsh = True,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    plan_hash: PlanHash = None,
    timeout_s: SshTimeout = 120,
    topology_yaml: TopologyYaml = None,
) -> ToolResult[ClusterStatus]:
    """Converge a cluster to its topology and, with `start`, boot it: cluster_define and cluster_start in one.

    Can be repeated at any time. Resumes paused nodes. Changes only what is different. If that would restart nodes or
    lose data, it is refused with APPROVAL_REQUIRED, unless an `allow_…` argument approves it.
    """
    return await settle(
        call,
        lambda use: use.clusters.apply(
            given(use, topology, topology_yaml),
            start=start,
            wait_for_ssh=wait_for_ssh,
            approval=Approval(restart=allow_restart, data_loss=allow_data_loss, plan_hash=plan_hash),
            timeout_s=timeout_s,
        ),
    )


async def cluster_start(
    call: Call,
    cluster_name: ClusterName,
    wait_for_ssh: WaitForSsh = True,
    ssh_timeout_s: SshTimeout = 120,
    nodes: Nodes = None,
) -> ToolResult[ClusterStatus]:
    """Boot nodes of a defined cluster, and wait until each accepts SSH logins.

    Running nodes are left alone, paused ones are resumed with their memory, and their clocks are set. SSH_TIMEOUT:
    call again to wait on. For nodes with `user_data` it also waits for cloud-init (PROVISIONING_FAILED).
    """
    return await settle(
        call,
        lambda use: use.clusters.start(
            cluster_name, wait_for_ssh=wait_for_ssh, ssh_timeout_s=ssh_timeout_s, nodes=nodes
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
    """Stop nodes and boot them again; those that are off are booted.

    With `shutdown`, a node that does not shut down in time is powered off.
    """
    return await settle(
        call,
        lambda use: use.clusters.restart(
            cluster_name, nodes=nodes, mode=StopMode(mode), wait_for_ssh=wait_for_ssh, ssh_timeout_s=ssh_timeout_s
        ),
    )


async def cluster_status(call: Call, cluster_name: ClusterName) -> ToolResult[ClusterStatus]:
    """Show the current state of a cluster: for each node its domain state, SSH reachability, loaded modules and
    problems.
    """
    return await ask(call, lambda use: use.inspection.status(cluster_name))


async def cluster_handle(
    call: Call,
    cluster_name: ClusterName,
    partial: Annotated[bool, Field(description="Answer for the running nodes, and name the others.")] = False,
) -> ToolResult[ClusterHandle]:
    """Get what is needed to log in to every node over SSH without these tools. Without `partial` all nodes must run."""
    return await ask(call, lambda use: use.inspection.handle(cluster_name, partial=partial))


async def cluster_stop(
    call: Call,
    cluster_name: ClusterName,
    mode: StopModeName = "shutdown",
    timeout_s: ShutdownTimeout = 60,
    nodes: Nodes = None,
) -> ToolResult[ClusterStatus]:
    """Power nodes off. They are off when it answers, and stay off until they are started. Disks stay.

    With `shutdown`, the error names nodes that are still up after the timeout.
    """
    return await settle(
        call, lambda use: use.clusters.stop(cluster_name, mode=StopMode(mode), timeout_s=timeout_s, nodes=nodes)
    )


async def cluster_destroy(
    call: Call,
    cluster_name: ClusterName,
    remove_overlays: Annotated[
        bool,
        Field(description="Also delete disks, seeds, host keys and snapshots."),
    ] = False,
) -> ToolResult[ClusterStatus]:
    """Remove a cluster's domains and network, even while it runs. Base images and topology files are never touched."""
    return await settle(call, lambda use: use.clusters.destroy(cluster_name, remove_overlays=remove_overlays))


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
        lambda use: use.clusters.crash(
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
    """Run a shell command on one node. A command that fails is still a success of the tool: check `exit_code`.

    Background processes keep running. For a command that takes longer than you can wait, use `job_start`.
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
        bool, Field(description="An unreachable node is an error; false lists it in `errors`.")
    ] = True,
    timeout_s: CommandTimeout = 30,
    env: Environment = None,
    stdin: StandardInput = None,
) -> ToolResult[ExecAllResult]:
    """Run the same shell command on many nodes in parallel. A non-zero exit is a result: check `failed_nodes`."""
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
    *topology_tools.TOOLS,
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
    *record_tools.TOOLS,
    *job_tools.TOOLS,
    *snapshot_tools.TOOLS,
    *fault_tools.TOOLS,
    *file_tools.TOOLS,
    *kernel_log_tools.TOOLS,
    *artifact_tools.TOOLS,
    *image_tools.TOOLS,
    *host_tools.TOOLS,
)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
