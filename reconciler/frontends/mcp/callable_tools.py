"""The tools as they are called: arguments as their types want them, and each answer as a protocol result.

Imported by the first call, with the models of all answers.
"""

import asyncio
import inspect
from base64 import b64encode
from collections.abc import Awaitable, Callable, Container
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ImageContent, TextContent
from pydantic_core import to_json

from reconciler.errors import ClusterError
from reconciler.frontends.mcp.answer_limits import Extent, abridged
from reconciler.frontends.mcp.argument_errors import ArgumentsAsSent
from reconciler.frontends.mcp.brief import brief, without_empty_counts, without_modules
from reconciler.frontends.mcp.extents import extent_of, extent_parameters
from reconciler.frontends.mcp.lab_app import DRAWN, drawn_in_app
from reconciler.frontends.mcp.next_steps import naming_switched_off, next_step
from reconciler.frontends.mcp.stdio_messages import as_text
from reconciler.frontends.mcp.tool_definition import ToolDefinition
from reconciler.frontends.mcp.tool_schemas import parameter_schema
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.results import ClusterStatus, ToolError, ToolResult
from reconciler.model.screenshot import Screenshot

DEFINITIONS = {tool.name: tool for tool in TOOLS}
offered_now: ContextVar[Container[str] | None] = ContextVar("tools that this server offers", default=None)

_DEFAULT_EXTENT = Extent()
_LISTING_MODULES = frozenset({"cluster_status"})


@cache
def callable_tool(name: str) -> Tool:
    """A tool with the model of its arguments; the same one for every server of this process."""
    definition = DEFINITIONS[name]
    tool = Tool.from_function(
        _in_protocol(definition),
        description=description_of(definition),
        structured_output=False,  # its schema is in the list of tools; the SDK would build the full one
    )
    tool.fn_metadata = ArgumentsAsSent(arg_model=tool.fn_metadata.arg_model)
    tool.parameters = parameter_schema(tool.parameters)
    return tool


def description_of(definition: ToolDefinition) -> str:
    """What an agent is told of a tool: its docstring."""
    return " ".join((definition.function.__doc__ or "").split())


def not_carried_out(error: ClusterError, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    """The answer of a call that was not carried out."""
    return protocol_result(ToolResult[None](success=False, error=ToolError.of(error)), tool, arguments)


def protocol_result(
    answer: ToolResult[Any], tool: str, arguments: dict[str, Any], extent: Extent = _DEFAULT_EXTENT
) -> CallToolResult:
    """The envelope as structured content, and as text for clients that pass only text to their model."""
    if tool not in _LISTING_MODULES:
        answer = answer.model_copy(update={"result": without_modules(answer.result)})
    dumped = as_text(answer.model_dump(mode="json"))
    offered = offered_now.get()
    dumped["next"] = as_text(next_step(tool, arguments, dumped, offered))
    if error := dumped["error"]:
        error["message"] = naming_switched_off(error["message"], offered)
    if not extent.full:
        dumped |= {key: brief(getattr(answer, key), dumped[key]) for key in ("result", "error")}
    envelope = abridged(dumped, extent)
    if not extent.full:
        envelope = without_empty_counts(envelope)
    text = TextContent(type="text", text=to_json(envelope, inf_nan_mode="null").decode())
    return CallToolResult(
        content=[text, *_pictures(answer.result)], structured_content=envelope, is_error=not answer.success
    )


def _in_protocol(definition: ToolDefinition) -> Callable[..., Awaitable[CallToolResult]]:
    """The tool, with parameters that limit its answer if that may be long."""
    more = extent_parameters(definition)

    @wraps(definition.function)
    async def call(**arguments: Any) -> CallToolResult:
        said = {parameter.name: arguments.pop(parameter.name) for parameter in more}
        answer, extent = await definition.function(**arguments), extent_of(definition, said)
        given = {key: of for key, of in arguments.items() if not isinstance(of, Context)}
        if definition.measured:  # it may be long, and other calls are answered meanwhile
            result = await asyncio.to_thread(protocol_result, answer, definition.name, given, extent)
        else:
            result = protocol_result(answer, definition.name, given, extent)
        if definition.name == DRAWN and isinstance(answer.result, ClusterStatus):
            result.meta = await drawn_in_app(arguments["call"], answer.result)
        return result

    own = inspect.signature(definition.function)
    call.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return call


def _pictures(result: object) -> list[ImageContent]:
    """What an answer shows beside its data."""
    if not isinstance(result, Screenshot):
        return []
    return [ImageContent(type="image", data=b64encode(result.png).decode(), mime_type="image/png")]
