"""The tools for a cluster's past and future: events, history, rollback, adoption, waiting."""

# ruff: noqa: PLC0415  libvirt is imported at the first call

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import (
    AllowDataLoss,
    AllowRestart,
    ClusterName,
    Nodes,
    PlanHash,
    Seconds,
    SshTimeout,
    TopologyName,
    TopologyYaml,
    WaitForSsh,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import LOOKS, TAKES_AWAY, ToolDefinition
from reconciler.frontends.mcp.topology_tools import given
from reconciler.model.event import ClusterEvent
from reconciler.model.results import ClusterStatus, ToolResult
from reconciler.model.status import Condition
from reconciler.records.approval import Approval
from reconciler.records.change import ChangeInWords
from reconciler.records.plan_view import PlanView, plan_view
from reconciler.usecases.application import UseCases

Generation = Annotated[
    int | None,
    Field(
        ge=1,
        description="A generation of `cluster_history`. Default: the last different one.",
    ),
]


async def cluster_events(
    call: Call,
    cluster_name: Annotated[str | None, Field(description="Default: all clusters.")] = None,
    after: Annotated[int, Field(ge=0, description="Only events with a higher `number`.")] = 0,
) -> ToolResult[list[ClusterEvent]]:
    """List what happened, oldest first: actions, repairs, conditions, obstacles. Contacts no node."""

    async def list_events(use: UseCases) -> list[ClusterEvent]:
        from reconciler.usecases.cluster_events import events_of

        return await events_of(use.runtime, cluster_name, after=after)

    return await ask(call, list_events)


async def cluster_history(call: Call, cluster_name: ClusterName) -> ToolResult[list[ChangeInWords]]:
    """List the changes of a cluster's desired state, oldest first: when, who asked for it, and what changed."""

    async def list_changes(use: UseCases) -> list[ChangeInWords]:
        from reconciler.records.history import history_of

        found = await history_of(use.runtime, cluster_name)
        return [ChangeInWords.model_validate(of, from_attributes=True) for of in found]

    return await ask(call, list_changes)


async def cluster_rollback_plan(call: Call, cluster_name: ClusterName, to: Generation = None) -> ToolResult[PlanView]:
    """Show what `cluster_rollback` would do now, as `cluster_plan` does for a topology. Changes nothing."""

    async def plan(use: UseCases) -> PlanView:
        return plan_view(await use.clusters.plan_rollback(cluster_name, to=to))

    return await ask(call, plan)


async def cluster_rollback(
    call: Call,
    cluster_name: ClusterName,
    to: Generation = None,
    wait_for_ssh: WaitForSsh = True,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    plan_hash: PlanHash = None,
    timeout_s: SshTimeout = 120,
) -> ToolResult[ClusterStatus]:
    """Roll back a cluster's topology and the power state of its nodes to an earlier generation.

    Snapshots, crashes and reverts are not undone, and disks keep their contents: for those see `snapshot_revert`.
    Refused with APPROVAL_REQUIRED as `cluster_apply` is.
    """
    return await settle(
        call,
        lambda use: use.clusters.rollback(
            cluster_name,
            to=to,
            wait_for_ssh=wait_for_ssh,
            approval=Approval(restart=allow_restart, data_loss=allow_data_loss, plan_hash=plan_hash),
            timeout_s=timeout_s,
        ),
    )


async def cluster_adopt(
    call: Call,
    cluster_name: ClusterName,
    topology: Annotated[
        TopologyName | None, Field(description="Name in `topology_dir`. Default: as the cluster.")
    ] = None,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    topology_yaml: TopologyYaml = None,
) -> ToolResult[ClusterStatus]:
    """Rebuild a cluster's lost or damaged record from its topology and the host, or take it over from another store.

    Power, disks and snapshots stay as they are on the host. CONFLICT: the record is intact, nothing to repair.
    """
    return await settle(
        call,
        lambda use: use.clusters.adopt(
            cluster_name,
            given(use, topology or cluster_name, topology_yaml),
            approval=Approval(restart=allow_restart, data_loss=allow_data_loss),
        ),
    )


async def cluster_wait(
    call: Call,
    cluster_name: ClusterName,
    condition: Annotated[str, Field(description="A condition, with `=False` for its end; or `delete`.")] = "Ready",
    timeout_s: Annotated[Seconds, Field(description="Seconds to wait; then the error is TIMEOUT.")] = 60,
    nodes: Nodes = None,
) -> ToolResult[Condition | None]:
    """Wait until a cluster, or some of its nodes, have a condition. Changes nothing. Answers null for `delete`."""

    async def wait(use: UseCases) -> Condition | None:
        from reconciler.usecases.wait_for_condition import wait_for_condition

        return await wait_for_condition(
            use.runtime, cluster_name, condition, timeout_s=timeout_s, nodes=nodes, progress=use.progress
        )

    return await ask(call, wait)


TOOLS = (
    ToolDefinition(cluster_events, "List events", LOOKS, (), "events", measured=True),
    ToolDefinition(cluster_history, "List changes", LOOKS, (), "changes", measured=True),
    ToolDefinition(cluster_rollback_plan, "Preview a rollback", LOOKS, ("actions",), "actions", measured=True),
    ToolDefinition(cluster_rollback, "Roll a cluster back", TAKES_AWAY),
    ToolDefinition(cluster_adopt, "Adopt a cluster", TAKES_AWAY, names_files=True),
    ToolDefinition(cluster_wait, "Wait for a condition", LOOKS),
)
