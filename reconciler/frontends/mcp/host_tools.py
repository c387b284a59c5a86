"""The tools for the hosts that clusters run on. They only look: people decide about hosts, at the command line."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.tool_definition import LOOKS, ToolDefinition
from reconciler.model.examination import Examination
from reconciler.model.host import HostInfo
from reconciler.model.results import ToolResult
from reconciler.usecases.application import UseCases

HostName = Annotated[str, Field(min_length=1, max_length=255, description="Name of a host, see `host_list`.")]


async def host_doctor(call: Call) -> ToolResult[Examination]:
    """Check whether this host can run clusters, and say what to do about what it lacks. Repairs nothing."""

    async def check(use: UseCases) -> Examination:
        from reconciler.usecases.doctor import examine_host  # noqa: PLC0415  imports libvirt

        return await examine_host(use.runtime.settings, fix=False)

    return await ask(call, check)


async def host_list(call: Call) -> ToolResult[list[HostInfo]]:
    """List the hosts that share the store, with what they have and which nodes are placed on them.

    Nodes of a host that is not alive keep running, but nobody repairs them. Without a shared store, it lists this host.
    """
    return await ask(call, lambda use: use.hosts.listing())


async def host_show(call: Call, host: HostName) -> ToolResult[HostInfo]:
    """Show one host: its resources, features, images by digest, labels, and nodes."""
    return await ask(call, lambda use: use.hosts.show(host))


TOOLS = (
    ToolDefinition(host_doctor, "Check the host", LOOKS),
    ToolDefinition(host_list, "List hosts", LOOKS, (), "hosts"),
    ToolDefinition(host_show, "Show a host", LOOKS, ("placed_nodes",), "nodes"),
)
