"""Serves the tools with the MCP SDK: turns each envelope into a protocol result."""

import asyncio
import inspect
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Container
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import Any, get_type_hints

from mcp.server.caching import CacheHint
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError as CallFailed
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, ImageContent, InputRequiredResult, TextContent
from pydantic_core import to_json

from reconciler import __version__
from reconciler.errors import ClusterError, error_to_answer
from reconciler.frontends.mcp.answer_limits import Extent, abridged
from reconciler.frontends.mcp.argument_errors import ArgumentsAsSent, argument_refusal, as_spelled
from reconciler.frontends.mcp.asking_first import Questions
from reconciler.frontends.mcp.backend import Backend, lifespan
from reconciler.frontends.mcp.brief import brief, without_empty_counts, without_modules
from reconciler.frontends.mcp.client_questions import roots_and_consent
from reconciler.frontends.mcp.client_roots import known_roots
from reconciler.frontends.mcp.extents import extent_of, extent_parameters
from reconciler.frontends.mcp.instructions import INSTRUCTIONS
from reconciler.frontends.mcp.mode import Mode
from reconciler.frontends.mcp.next_steps import next_step
from reconciler.frontends.mcp.reading_server import ReadingServer
from reconciler.frontends.mcp.stdio_messages import as_text, stdio_streams
from reconciler.frontends.mcp.tool_definition import ToolDefinition
from reconciler.frontends.mcp.tool_schemas import answer_schemas, parameter_schema
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.results import ToolError, ToolResult
from reconciler.model.screenshot import Screenshot

_TOOLS_STAY_MS = 3_600_000
_DEFAULT_EXTENT = Extent()
_EVERYTHING = Mode()
_offered_now: ContextVar[Container[str] | None] = ContextVar("tools that this server offers", default=None)
_LISTING_MODULES = frozenset({"cluster_status"})
_DEFINITIONS = {tool.name: tool for tool in TOOLS}

log = logging.getLogger(__name__)


class ClusterServer(ReadingServer):
    """An MCP server that always answers with the envelope of the contract, also to invalid arguments."""

    def __init__(self, mode: Mode = _EVERYTHING, *, local: bool = True) -> None:
        """With `local`, the one client is on this host: the roots that it names are directories of it."""
        self._mode = mode
        self._local = local
        self._open_questions = Questions()
        self._offered = {name: tool for name, tool in offered_tools().items() if mode.offers(_DEFINITIONS[name])}
        super().__init__(
            [_DEFINITIONS[name] for name in self._offered],
            keeps_connections=local,
            title="vmcluster",
            description="Clusters of virtual machines, declared and reconciled",
            instructions="\n".join(filter(None, [INSTRUCTIONS, mode.in_words()])),
            version=__version__,
            tools=list(self._offered.values()),
            lifespan=lifespan,
            log_level="WARNING",
            cache_hints={"tools/list": CacheHint(ttl_ms=_TOOLS_STAY_MS, scope="public")},
        )

    async def run_stdio_async(self) -> None:
        """Serve over standard input and output until the input ends."""
        async with stdio_streams() as (incoming, outgoing):
            options = self._lowlevel_server.create_initialization_options()
            await self._lowlevel_server.run(incoming, outgoing, options)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Backend, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raises `MCPError` for a tool that does not exist; everything else is answered."""
        if name not in self._offered:
            why = self._mode.refusal(_DEFINITIONS[name]) if name in _DEFINITIONS else None
            raise MCPError(INVALID_PARAMS, f"Tool {name} is switched off: {why}" if why else f"Unknown tool: {name}")
        _offered_now.set(self._offered)
        arguments = as_spelled(self._offered[name], arguments)
        if error := argument_refusal(self._offered[name], arguments):
            return _failed(error, name, arguments)
        try:
            roots = await self._ask_first(_DEFINITIONS[name], arguments, context) if context else ()
        except ClusterError as error:
            return _failed(error, name, arguments)
        if isinstance(roots, InputRequiredResult):
            return roots
        try:
            with known_roots(roots):
                return await super().call_tool(name, arguments, context)
        except CallFailed as failure:
            log.exception("%s failed", name)
            cause = failure.__cause__
            failed = error_to_answer(cause if isinstance(cause, Exception) else failure)
            return _failed(failed, name, arguments)

    async def _ask_first(
        self, tool: ToolDefinition, arguments: dict[str, Any], context: Context[Backend, Any]
    ) -> tuple[Path, ...] | InputRequiredResult:
        return await roots_and_consent(
            context,
            tool.name,
            arguments,
            open_questions=self._open_questions,
            roots=tool.names_files and self._local,
            confirm=self._mode.asks_before(tool),
        )


@cache
def offered_tools() -> dict[str, Tool]:
    """The tools by name, in the order in which clients list them; the same ones for every server of this process."""
    answers = [get_type_hints(definition.function)["return"] for definition in TOOLS]
    offered = map(_offer, TOOLS, answer_schemas(answers))
    return {tool.name: tool for tool in offered}


def _offer(definition: ToolDefinition, output_schema: dict[str, Any]) -> Tool:
    tool = Tool.from_function(
        _in_protocol(definition),
        title=definition.title,
        description=" ".join((definition.function.__doc__ or "").split()),
        annotations=definition.annotations,
        structured_output=False,  # the SDK would rebuild a model's schema for every tool that answers it
    )
    tool.fn_metadata = ArgumentsAsSent(arg_model=tool.fn_metadata.arg_model, output_schema=output_schema)
    tool.parameters = parameter_schema(tool.parameters)
    return tool


def _in_protocol(definition: ToolDefinition) -> Callable[..., Awaitable[CallToolResult]]:
    """The tool, with parameters that limit its answer if that may be long."""
    more = extent_parameters(definition)

    @wraps(definition.function)
    async def call(**arguments: Any) -> CallToolResult:
        said = {parameter.name: arguments.pop(parameter.name) for parameter in more}
        answer, extent = await definition.function(**arguments), extent_of(definition, said)
        given = {key: of for key, of in arguments.items() if not isinstance(of, Context)}
        if definition.measured:  # it may be long, and other calls are answered meanwhile
            return await asyncio.to_thread(_protocol_result, answer, definition.name, given, extent)
        return _protocol_result(answer, definition.name, given, extent)

    own = inspect.signature(definition.function)
    call.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return call


def _failed(error: ClusterError, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    return _protocol_result(ToolResult[None](success=False, error=ToolError.of(error)), tool, arguments)


def _protocol_result(
    answer: ToolResult[Any], tool: str, arguments: dict[str, Any], extent: Extent = _DEFAULT_EXTENT
) -> CallToolResult:
    """The envelope as structured content, and as text for clients that pass only text to their model."""
    if tool not in _LISTING_MODULES:
        answer = answer.model_copy(update={"result": without_modules(answer.result)})
    dumped = as_text(answer.model_dump(mode="json"))
    dumped["next"] = as_text(next_step(tool, arguments, dumped, _offered_now.get()))
    if not extent.full:
        dumped |= {key: brief(getattr(answer, key), dumped[key]) for key in ("result", "error")}
    envelope = abridged(dumped, extent)
    if not extent.full:
        envelope = without_empty_counts(envelope)
    text = TextContent(type="text", text=to_json(envelope, inf_nan_mode="null").decode())
    return CallToolResult(
        content=[text, *_pictures(answer.result)], structured_content=envelope, is_error=not answer.success
    )


def _pictures(result: object) -> list[ImageContent]:
    """What an answer shows beside its data."""
    if not isinstance(result, Screenshot):
        return []
    return [ImageContent(type="image", data=b64encode(result.png).decode(), mime_type="image/png")]
