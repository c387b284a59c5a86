"""Calls the tools: checks the arguments, asks the client first where that is needed, and always answers the envelope.

Imported by the first call.
"""

import logging
from collections.abc import Container
from pathlib import Path
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError as CallFailed
from mcp_types import CallToolResult, InputRequiredResult

from reconciler.errors import ClusterError, error_to_answer
from reconciler.frontends.mcp.argument_errors import argument_refusal, as_spelled
from reconciler.frontends.mcp.asking_first import Questions
from reconciler.frontends.mcp.backend import Call
from reconciler.frontends.mcp.callable_tools import DEFINITIONS, callable_tool, not_carried_out, offered_now
from reconciler.frontends.mcp.client_questions import roots_and_consent
from reconciler.frontends.mcp.client_roots import known_roots

log = logging.getLogger(__name__)


class ToolCalls:
    """The calls of one server."""

    def __init__(self, offered: Container[str], *, local: bool) -> None:
        """With `local`, the one client is on this host: the roots that it names are directories of it."""
        self._offered = offered
        self._local = local
        self._open_questions = Questions()

    async def call(
        self, name: str, arguments: dict[str, Any], context: Call, *, confirm: bool
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool that is offered; with `confirm` only if the user agrees."""
        offered_now.set(self._offered)
        tool = callable_tool(name)
        arguments = as_spelled(tool, arguments)
        if error := argument_refusal(tool, arguments):
            return not_carried_out(error, name, arguments)
        try:
            roots = await self._ask_first(name, arguments, context, confirm=confirm)
        except ClusterError as error:
            return not_carried_out(error, name, arguments)
        if isinstance(roots, InputRequiredResult):
            return roots
        try:
            with known_roots(roots):
                answer: CallToolResult = await tool.run(arguments, context)
                return answer
        except CallFailed as failure:
            log.exception("%s failed", name)
            cause = failure.__cause__
            return not_carried_out(error_to_answer(cause if isinstance(cause, Exception) else failure), name, arguments)

    async def _ask_first(
        self, name: str, arguments: dict[str, Any], context: Call, *, confirm: bool
    ) -> tuple[Path, ...] | InputRequiredResult:
        return await roots_and_consent(
            context,
            name,
            arguments,
            open_questions=self._open_questions,
            roots=DEFINITIONS[name].names_files and self._local,
            confirm=confirm,
        )
