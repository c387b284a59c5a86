"""The tools for the nodes' kernel logs."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.answer_limits import EACH
from reconciler.frontends.mcp.arguments import ClusterName, Nodes, Seconds
from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.tool_definition import ADDS, LOOKS, ToolDefinition
from reconciler.model.kernel_log import DmesgResult, FilterLevel
from reconciler.model.results import ToolResult

Marker = Annotated[
    str | None,
    Field(max_length=200, description="From `dmesg_mark`: only what came after it."),
]
LogTimeout = Annotated[Seconds, Field(description="Seconds for SSH; then the console is read.")]


async def dmesg_mark(call: Call, cluster_name: ClusterName, nodes: Nodes = None) -> ToolResult[dict[str, str]]:
    """Write the same marker into every node's kernel log, to collect from there after a test.

    PARTIAL_FAILURE names the nodes that could not be written to.
    """
    return await ask(call, lambda use: use.kernel_logs.mark(cluster_name, nodes=nodes))


async def dmesg_collect(
    call: Call,
    cluster_name: ClusterName,
    nodes: Nodes = None,
    since_marker: Marker = None,
    filter_level: Annotated[
        FilterLevel,
        Field(description="Lines of this severity and above, and the first line of each event."),
    ] = "all",
    timeout_s: LogTimeout = 15,
) -> ToolResult[dict[str, DmesgResult]]:
    """Collect each node's kernel log, with oopses, panics, warnings, lockups and stalls as `events`.

    `detail` full has their traces.
    If a node is dead or cut off, its serial console is read instead (`source`), which shows less. PARTIAL_FAILURE names
    the nodes that could not be read at all: their log is unknown, not clean.
    """
    return await ask(
        call,
        lambda use: use.kernel_logs.collect(
            cluster_name, nodes=nodes, since_marker=since_marker, filter_level=filter_level, timeout_s=timeout_s
        ),
    )


TOOLS = (
    ToolDefinition(dmesg_mark, "Mark kernel logs", ADDS),
    ToolDefinition(dmesg_collect, "Collect kernel logs", LOOKS, (EACH, "lines"), "lines of each node", measured=True),
)
