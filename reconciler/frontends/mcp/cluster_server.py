"""The MCP server, made with the SDK: lists the tools that its mode permits, and passes on calls.

What calls take is imported by the first one: a client may wait for the list of tools before it shows anything.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from mcp.server.apps import client_supports_apps
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
)

from reconciler import __version__
from reconciler.frontends.mcp.backend import Backend, lifespan_with
from reconciler.frontends.mcp.given_up_requests import end_this_request_only
from reconciler.frontends.mcp.instructions import INSTRUCTIONS
from reconciler.frontends.mcp.lab_app import with_app
from reconciler.frontends.mcp.listed_tools import listed_tools
from reconciler.frontends.mcp.mode import Mode
from reconciler.frontends.mcp.reading_server import ReadingServer
from reconciler.frontends.mcp.stdio_messages import stdio_streams

if TYPE_CHECKING:
    from reconciler.frontends.mcp.tool_calls import ToolCalls
    from reconciler.frontends.mcp.tool_usecases import ToolService

_TOOLS_STAY_MS = 3_600_000
_EVERYTHING = Mode()


class ClusterServer(ReadingServer):
    """An MCP server that always answers with the envelope of the contract, also to invalid arguments."""

    def __init__(self, mode: Mode = _EVERYTHING, *, local: bool = True, host: "ToolService | None" = None) -> None:
        """With `local`, the one client is on this host: the roots that it names are directories of it.

        With a `host`, its use cases are called instead of those that the first call would open.
        """
        self._mode = mode
        self._local = local
        self._calls: ToolCalls | None = None
        self._offered = {name: tool for name, tool in listed_tools().items() if mode.offers(tool)}
        super().__init__(
            self._offered,
            keeps_connections=local,
            title="vmcluster",
            description="Clusters of virtual machines, declared and reconciled",
            instructions="\n".join(filter(None, [INSTRUCTIONS, mode.in_words()])),
            version=__version__,
            lifespan=lifespan_with(host),
            log_level="WARNING",
            cache_hints={"tools/list": CacheHint(ttl_ms=_TOOLS_STAY_MS, scope="public")},
        )
        self._lowlevel_server.middleware.insert(0, end_this_request_only)
        self._lowlevel_server.add_request_handler("tools/list", PaginatedRequestParams, self._list_tools_for)

    async def run_stdio_async(self) -> None:
        """Serve over standard input and output until the input ends."""
        async with stdio_streams() as (incoming, outgoing):
            options = self._lowlevel_server.create_initialization_options()
            await self._lowlevel_server.run(incoming, outgoing, options)

    async def list_tools(self) -> list[Tool]:
        """The tools that are offered."""
        return list(self._offered.values())

    async def _list_tools_for(
        self, ctx: ServerRequestContext[Backend], _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        tools = await self.list_tools()
        if client_supports_apps(ctx):  # what is listed for some clients is not for a cache that all share
            return ListToolsResult(tools=with_app(tools), cache_scope="private")
        return ListToolsResult(tools=tools)

    def _tool_input_schema(self, name: str) -> dict[str, Any] | None:
        """Of a tool that is offered, for headers of HTTP that repeat arguments."""
        return self._offered[name].input_schema if name in self._offered else None

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Backend, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raises `MCPError` for a tool that does not exist; everything else is answered."""
        if name not in self._offered:
            why = self._mode.refusal(listed_tools()[name]) if name in listed_tools() else None
            raise MCPError(INVALID_PARAMS, f"Tool {name} is switched off: {why}" if why else f"Unknown tool: {name}")
        if self._calls is None:
            calls_class = await asyncio.to_thread(_calls_class)
            self._calls = self._calls or calls_class(self._offered, local=self._local)
        confirm = self._mode.asks_before(self._offered[name])
        return await self._calls.call(name, arguments, context or Context(mcp_server=self), confirm=confirm)


def _calls_class() -> "type[ToolCalls]":
    from reconciler.frontends.mcp.tool_calls import ToolCalls  # noqa: PLC0415  the models of all arguments and answers

    return ToolCalls
