"""The tools that copy files to and from nodes, and read their consoles and screens."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import ClusterName, NodeName, Nodes, Seconds
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.kernel_log_tools import Marker
from reconciler.frontends.mcp.tool_definition import LOOKS, RUNS_ANYTHING, TAKES_AWAY, ToolDefinition
from reconciler.frontends.mcp.values import AsNumber
from reconciler.model.kernel_log import ConsoleResult
from reconciler.model.results import ToolResult
from reconciler.model.screenshot import Screenshot
from reconciler.model.transfer import TransferResult
from reconciler.usecases.application import UseCases
from reconciler.usecases.host_paths import absolute

HostPath = Annotated[str, Field(min_length=1, max_length=4096, description="Absolute path on the server's host.")]
NodePath = Annotated[str, Field(min_length=1, max_length=4096, description="Absolute path on the node.")]
TransferTimeout = Annotated[Seconds, Field(description="Seconds for the whole copy.")]


async def node_push(
    call: Call,
    cluster_name: ClusterName,
    source_path: HostPath,
    dest_path: NodePath,
    nodes: Nodes = None,
    replace: Annotated[bool, Field(description="Replace an existing directory and everything in it.")] = False,
    timeout_s: TransferTimeout = 600,
) -> ToolResult[TransferResult]:
    """Copy a file or directory from the server's host to exactly `dest_path` on nodes, with modes and times.

    It appears complete or not at all. `left_out` lists sockets, pipes, devices, and what changed meanwhile.
    """
    return await settle(
        call,
        lambda use: use.transfers.push(
            cluster_name,
            absolute("source_path", source_path),
            dest_path,
            nodes=nodes,
            replace=replace,
            timeout_s=timeout_s,
        ),
    )


async def node_pull(
    call: Call,
    cluster_name: ClusterName,
    node_name: NodeName,
    source_path: NodePath,
    dest_path: HostPath,
    replace: Annotated[bool, Field(description="Replace an existing file.")] = False,
    timeout_s: TransferTimeout = 600,
) -> ToolResult[TransferResult]:
    """Copy a file or directory from a node to exactly `dest_path` on the server's host, with modes and times.

    An existing directory is always kept. `left_out` lists what is not copied: links that lead out of the
    tree, sockets, devices.
    """
    return await settle(
        call,
        lambda use: use.transfers.pull(
            cluster_name, node_name, source_path, absolute("dest_path", dest_path), replace=replace, timeout_s=timeout_s
        ),
    )


async def node_console(
    call: Call,
    cluster_name: ClusterName,
    node_name: NodeName,
    tail: Annotated[int, Field(ge=1, le=20_000, description="How many lines."), AsNumber] = 100,
    since_marker: Marker = None,
    follow_s: Annotated[
        float,
        Field(ge=0, le=600, allow_inf_nan=False, description="Seconds to wait for more lines."),
        AsNumber,
    ] = 0,
) -> ToolResult[ConsoleResult]:
    """Read the end of a node's serial console: boot loader, kernel, login.

    Works for dead nodes, and for nodes that are off.
    """
    return await ask(
        call,
        lambda use: use.consoles.show(cluster_name, node_name, tail=tail, since_marker=since_marker, follow_s=follow_s),
    )


async def node_screenshot(call: Call, cluster_name: ClusterName, node_name: NodeName) -> ToolResult[Screenshot]:
    """Photograph the screen of a running node, also a hung one, as PNG. Needs `video: true` in its topology."""

    async def take(use: UseCases) -> Screenshot:
        from reconciler.usecases.screens import screenshot_of  # noqa: PLC0415

        return await screenshot_of(use.runtime, cluster_name, node_name)

    return await ask(call, take)


TOOLS = (
    ToolDefinition(node_console, "Read a console", LOOKS, measured=True),
    ToolDefinition(node_screenshot, "Photograph a screen", LOOKS),
    ToolDefinition(node_push, "Copy files to nodes", RUNS_ANYTHING, names_files=True),
    ToolDefinition(node_pull, "Copy files from a node", TAKES_AWAY, names_files=True),
)
