"""The tools for topologies: the files in `topology_dir`, and topologies that a client sends as text."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from reconciler.desired.topology_text import GivenTopology, TopologyText, text_bytes
from reconciler.desired.topology_text import TopologyName as Named
from reconciler.errors import InvalidArgument
from reconciler.frontends.mcp.arguments import TopologyName
from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.tool_definition import LOOKS, TAKES_AWAY, ToolDefinition
from reconciler.model.results import ToolResult
from reconciler.model.topology_file import TopologyFile, TopologySummary

if TYPE_CHECKING:
    from reconciler.usecases.application import UseCases


def given(use: "UseCases", name: str | None, text: str | None) -> GivenTopology:
    """The topology that a call names or holds. Raises `InvalidArgument` if it does neither."""
    if text is not None:
        return TopologyText(name or "topology_yaml", text_bytes(text), use.runtime.settings.topology_dir)
    if name is None:
        raise InvalidArgument("no topology was given", hint="pass `topology`, a name, or `topology_yaml`, the text")
    return Named(name)


async def topology_list(call: Call) -> ToolResult[list[TopologySummary]]:
    """List the topologies in `topology_dir`, which can be applied by name, and say of each whether it is valid."""
    return await ask(call, lambda use: use.topologies.listing())


async def topology_show(call: Call, topology: TopologyName) -> ToolResult[TopologyFile]:
    """Show a topology's text and its problems, with their lines."""
    return await ask(call, lambda use: use.topologies.show(topology))


async def topology_write(
    call: Call,
    topology: TopologyName,
    topology_yaml: Annotated[str, Field(description="The topology's text.")],
    replace: Annotated[bool, Field(description="Replace a different topology of this name.")] = False,
) -> ToolResult[TopologyFile]:
    """Write a topology's file, so that it can be applied by name. Changes no cluster: `cluster_plan` shows what would.

    CONFLICT: the name is taken. `problems` are those of the files that it names.
    """
    return await ask(call, lambda use: use.topologies.write(topology, topology_yaml, replace=replace))


TOOLS = (
    ToolDefinition(topology_list, "List topologies", LOOKS, (), "topologies", measured=True, names_files=True),
    ToolDefinition(topology_show, "Show a topology", LOOKS, measured=True, names_files=True),
    ToolDefinition(topology_write, "Write a topology", TAKES_AWAY, names_files=True),
)
