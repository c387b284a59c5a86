"""The tools for network faults. As in `tools`, a docstring is a description for the agent that chooses among them."""

import re
from typing import Annotated, Literal

from pydantic import Field

from reconciler.faults.link_verdicts import FaultVerification
from reconciler.faults.requests import Sides, impair_request, partition_request
from reconciler.frontends.mcp.arguments import (
    ClusterName,
    Count,
    DirectionName,
    Duration,
    FaultHandle,
    Group,
    Milliseconds,
    Name,
    NodeName,
    Nodes,
    PartitionSide,
    Percentage,
    Targets,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import ADDS, LOOKS, ToolDefinition
from reconciler.frontends.mcp.values import AsNumber, AsStructure
from reconciler.model.choices import CutMode, Direction, Distribution, ShapeName
from reconciler.model.faults import LinkExplanation, NetFaultHandle, NetFaultInfo
from reconciler.model.links import Impairment
from reconciler.model.results import ToolResult
from reconciler.usecases.application import UseCases

ShapeOfPartition = Annotated[
    Literal["groups", "halves", "one", "bridge", "majorities-ring", "grudge"],
    Field(
        description="`groups`: the named ones. Of all nodes: `halves`, `one` against all others, `bridge` (two halves "
        "or sides; `node` reaches both), `majorities-ring` (each reaches another majority). `grudge`: named cuts."
    ),
]
CutModeName = Annotated[
    Literal["drop", "link-down"],
    Field(
        description="`drop` discards packets between nodes. `link-down` unplugs nodes that are cut off from all "
        "others: SSH to them ends."
    ),
]
Seed = Annotated[
    Annotated[int, Field(ge=-(2**63), le=2**63 - 1), AsNumber] | None,
    Field(description="Shuffles the nodes: same seed, same cuts."),
]
DistributionName = Annotated[
    Literal["uniform", "normal", "paretonormal", "pareto"],
    Field(description="Distribution of the jitter."),
]


async def net_partition(
    call: Call,
    cluster_name: ClusterName,
    partition_a: PartitionSide,
    partition_b: PartitionSide,
    shape: ShapeOfPartition = "groups",
    groups: Annotated[list[Group] | None, AsStructure, Field(description="More than two groups.")] = None,
    node: Annotated[
        Name | None,
        Field(description="The node of `one` and `bridge`. Default: the first, the middle one, or by `seed`."),
    ] = None,
    grudge: Annotated[
        dict[Name, Group] | None,
        AsStructure,
        Field(description="For `grudge`: receiver -> senders that do not reach it."),
    ] = None,
    direction: DirectionName = "both",
    mode: CutModeName = "drop",
    seed: Seed = None,
    duration_s: Duration = None,
) -> ToolResult[NetFaultHandle]:
    """Cut the network between groups of nodes: IPv4, IPv6, ARP and broadcast, established connections too.

    Nothing changes within a group, and node_exec still reaches all nodes. The fault survives reboots and lasts until
    net_heal. Repeating the call does not add a second one. For a shape of all nodes, leave both sides empty.
    """
    sides = Sides(
        partition_a=partition_a,
        partition_b=partition_b,
        shape=ShapeName(shape),
        groups=groups,
        node=node,
        grudge=grudge,
    )
    return await settle(
        call,
        lambda use: use.faults.inject(
            cluster_name,
            partition_request(sides, direction=Direction(direction), mode=CutMode(mode), seed=seed),
            duration_s=duration_s,
        ),
    )


async def net_impair(
    call: Call,
    cluster_name: ClusterName,
    source_node: NodeName,
    target_node: Targets = "all",
    latency_ms: Annotated[Milliseconds, Field(description="Added delay, in milliseconds.")] = 0,
    jitter_ms: Annotated[Milliseconds, Field(description="Its variation in milliseconds; at most the latency.")] = 0,
    loss_pct: Annotated[Percentage, Field(description="Percent of packets lost.")] = 0,
    corrupt_pct: Annotated[Percentage, Field(description="Percent with a flipped bit.")] = 0,
    reorder_pct: Annotated[Percentage, Field(description="Percent that overtake; needs `latency_ms`.")] = 0,
    duplicate_pct: Annotated[Percentage, Field(description="Percent that arrive twice.")] = 0,
    rate_kbit: Annotated[Count, Field(description="Bandwidth in kbit/s; 0: no limit.")] = 0,
    jitter_distribution: DistributionName = "uniform",
    latency_correlation_pct: Annotated[
        Percentage,
        Field(description="Percent; needs `jitter_ms`."),
    ] = 0,
    loss_correlation_pct: Annotated[
        Percentage,
        Field(description="Percent, for bursts; needs `loss_pct`."),
    ] = 0,
    reorder_correlation_pct: Annotated[Percentage, Field(description="Percent; needs `reorder_pct`.")] = 0,
    reorder_gap: Annotated[Count, Field(description="Only every N-th may overtake; 0: any.")] = 0,
    limit_packets: Annotated[Count, Field(description="Length of the queue; 0: derived.")] = 0,
    direction: DirectionName = "to",
    include_host: Annotated[bool, Field(description="Also traffic with the host, SSH too.")] = False,
    duration_s: Duration = None,
) -> ToolResult[NetFaultHandle]:
    """Delay, drop, corrupt, reorder, duplicate or slow down what one node sends to others, and nothing else.

    Several faults on one link combine: delays add, losses multiply, the lowest rate wins. HOST_CAPABILITY_MISSING: the
    host's kernel lacks netem; rate limits and partitions work without it.
    """
    impairment = Impairment(
        delay_ms=latency_ms,
        jitter_ms=jitter_ms,
        delay_correlation_pct=latency_correlation_pct,
        distribution=Distribution(jitter_distribution),
        loss_pct=loss_pct,
        loss_correlation_pct=loss_correlation_pct,
        duplicate_pct=duplicate_pct,
        corrupt_pct=corrupt_pct,
        reorder_pct=reorder_pct,
        reorder_correlation_pct=reorder_correlation_pct,
        reorder_gap=reorder_gap,
        rate_kbit=rate_kbit,
        limit_packets=limit_packets,
    )
    request = impair_request(
        source_node, target_node, impairment, direction=Direction(direction), include_host=include_host
    )
    answer = await settle(call, lambda use: use.faults.inject(cluster_name, request, duration_s=duration_s))
    return _in_arguments(answer)


_ARGUMENTS = {"delay_ms": "latency_ms", "delay_correlation_pct": "latency_correlation_pct"}
"""What the tool calls those fields of an impairment that it does not call as topologies do."""


def _in_arguments(answer: ToolResult[NetFaultHandle]) -> ToolResult[NetFaultHandle]:
    """The answer with the tool's own words for what was asked for."""
    if answer.error is None:
        return answer
    message = re.sub(r"`(\w+)`", lambda found: f"`{_ARGUMENTS.get(found[1], found[1])}`", answer.error.message)
    return answer.model_copy(update={"error": answer.error.model_copy(update={"message": message})})


async def net_heal(call: Call, cluster_name: ClusterName, fault_handle: FaultHandle) -> ToolResult[bool]:
    """Heal one network fault; others on the same links stay. True when it is gone, also if it already was."""
    return await settle(call, lambda use: use.faults.heal(cluster_name, fault_handle))


async def net_heal_all(call: Call, cluster_name: ClusterName) -> ToolResult[int]:
    """Heal all network faults of a cluster, and answer how many there were."""
    return await settle(call, lambda use: use.faults.heal_all(cluster_name))


async def net_fault_list(call: Call, cluster_name: ClusterName) -> ToolResult[list[NetFaultInfo]]:
    """List the desired network faults: what was requested, and what the host's kernel reports.

    `applied` is false while a fault is not on the host yet, or its nodes are off. At `expires_at` it heals by itself.
    """
    return await ask(call, lambda use: use.faults.listing(cluster_name))


async def fault_explain(
    call: Call,
    cluster_name: ClusterName,
    sender: Annotated[str, Field(description="The node that sends.")],
    receiver: Annotated[str, Field(description="The node that receives.")],
) -> ToolResult[LinkExplanation]:
    """Explain what the faults do to packets from one node to another, and what is in the host's kernel for them."""
    return await ask(call, lambda use: use.faults.explain(cluster_name, sender, receiver))


async def fault_verify(
    call: Call,
    cluster_name: ClusterName,
    nodes: Nodes = None,
    count: Annotated[
        Annotated[int, Field(ge=1, le=10_000), AsNumber] | None,
        Field(description="Packets per link."),
    ] = None,
) -> ToolResult[FaultVerification]:
    """Measure between the guests whether faults have their effect: reachability, delay, loss.

    All nodes send to all others at the same time. A link whose `verdict` is `mismatch` contradicts the faults.
    """

    async def verify(use: UseCases) -> FaultVerification:
        from reconciler.usecases.fault_verification import FaultVerifier  # noqa: PLC0415  imports SSH

        return await FaultVerifier(use.runtime).verify(cluster_name, nodes, count=count)

    return await ask(call, verify)


TOOLS = (
    ToolDefinition(net_partition, "Partition the network", ADDS),
    ToolDefinition(net_impair, "Impair the network", ADDS),
    ToolDefinition(net_heal, "Heal a network fault", ADDS),
    ToolDefinition(net_heal_all, "Heal all network faults", ADDS),
    ToolDefinition(fault_explain, "Explain a link", LOOKS),
    ToolDefinition(fault_verify, "Measure the faults", LOOKS, ("links",), "links", measured=True),
    ToolDefinition(net_fault_list, "List network faults", LOOKS, (), "faults", measured=True),
)
