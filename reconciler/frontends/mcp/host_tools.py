"""The tool for the host that clusters run on."""

from reconciler.frontends.mcp.backend import Call, ask
from reconciler.frontends.mcp.tool_definition import LOOKS, ToolDefinition
from reconciler.model.examination import Examination
from reconciler.model.results import ToolResult
from reconciler.usecases.application import UseCases


async def host_doctor(call: Call) -> ToolResult[Examination]:
    """Check whether this host can run clusters, and say what to do about what it lacks. Repairs nothing."""

    async def check(use: UseCases) -> Examination:
        from reconciler.usecases.doctor import examine  # noqa: PLC0415  imports libvirt

        return await examine(use.runtime.settings, fix=False)

    return await ask(call, check)


TOOLS = (ToolDefinition(host_doctor, "Check the host", LOOKS),)
