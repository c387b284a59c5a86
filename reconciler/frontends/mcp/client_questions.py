"""What the server asks a client before it carries out a call: its roots, and the user's confirmation.

Up to revision 2025-11-25 of the protocol the server asks during the call. Since 2026-07-28, which has no requests by
the server, the answer to the call is the questions, and the client repeats the call with its answers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context
from mcp_types import InputRequest, InputRequiredResult, ListRootsRequest
from mcp_types.version import is_version_at_least

from reconciler.frontends.mcp.asking_first import (
    Questions,
    ask_during_call,
    question,
    require_able_to_ask,
    require_yes,
)
from reconciler.frontends.mcp.client_roots import has_roots, roots_during_call, roots_in

_ASKED_IN_THE_ANSWER = "2026-07-28"
_ROOTS, _CONFIRM = "roots", "confirm"


async def roots_and_consent(
    call: Context[Any, Any],
    tool: str,
    arguments: Mapping[str, Any],
    *,
    open_questions: Questions,
    roots: bool,
    confirm: bool,
) -> tuple[Path, ...] | InputRequiredResult:
    """The client's roots, if they are needed and it has some, once the user has confirmed the call; or the questions.

    Raises `ApprovalRequired` without a confirmation, `OperationFailed` if the client does not list the roots it has.
    """
    if confirm:
        require_able_to_ask(call, tool)
    roots = roots and has_roots(call)
    if not is_version_at_least(call.protocol_version or "", _ASKED_IN_THE_ANSWER):
        if confirm:
            await ask_during_call(call, tool, arguments)
        return await roots_during_call(call) if roots else ()
    said = call.input_responses or {}
    asked: dict[str, InputRequest] = {
        **({_ROOTS: ListRootsRequest()} if roots else {}),
        **({_CONFIRM: question(tool, arguments)} if confirm else {}),
    }
    if asked.keys() - said.keys() or (confirm and not open_questions.close(call.request_state)):
        return InputRequiredResult(input_requests=asked, request_state=open_questions.new() if confirm else None)
    if confirm:
        require_yes(said[_CONFIRM], tool)
    return roots_in(said[_ROOTS]) if roots else ()
