"""The tools that read what nodes' kernels and consoles said."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import ClusterName, Nodes, Seconds
from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.brevity import EACH
from reconciler.frontends.mcp.definition import ADDS, LOOKS, ToolDefinition
from reconciler.model.kernel_log import DmesgResult, FilterLevel
from reconciler.model.results import ToolResult

Marker = Annotated[
    str | None,
    Field(max_length=200, description="A marker of `dmesg_mark`: answer only with what came after it."),
]
LogTimeout = Annotated[
    Seconds, Field(description="Seconds that a node gets to answer over SSH before its console is read instead.")
]


async def dmesg_mark(call: Call, cluster_name: ClusterName, nodes: Nodes = None) -> ToolResult[dict[str, str]]:
    """Write the same marker into every node's kernel log, to collect from there after a test.

    PARTIAL_FAILURE names nodes that could not be written to; `result` has those that were.
    """
    return await ask(call, lambda use: use.kernel_logs.mark(cluster_name, nodes=nodes))


async def dmesg_collect(
    call: Call,
    cluster_name: ClusterName,
    nodes: Nodes = None,
    since_marker: Marker = None,
    filter_level: Annotated[
        FilterLevel,
        Field(description="Lines of this level and worse; events and their traces are always among them."),
    ] = "all",
    timeout_s: LogTimeout = 15,
) -> ToolResult[dict[str, DmesgResult]]:
    """Collect what each node's kernel said, with oopses, panics, warnings, lockups and stalls as `events`.

    A node that is dead or cut off is read from its serial console (`source`), which shows less. `marker` and `message`
    say where a marker was lost and lines are missing. PARTIAL_FAILURE names nodes that could not be read at all: their
    log is unknown, not clean.
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
