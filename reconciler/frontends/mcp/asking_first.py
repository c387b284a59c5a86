"""Asking the client's user before a call, by elicitation. A user who cannot be asked has not agreed."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult
from pydantic import ValidationError

from reconciler.errors import ApprovalRequired
from reconciler.frontends.mcp.progress_sender import sending_progress

_PATIENCE_S = 600.0
_MOST_OPEN = 1000
_SHOWN_LENGTH = 2000
_FIELD = "confirm"
_FORM = {
    "type": "object",
    "properties": {_FIELD: {"type": "boolean", "title": "Do it", "default": False}},
    "required": [_FIELD],
}


class Questions:
    """The questions that are open, of clients that repeat the call: each permits one call, that which it is about."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, None] = OrderedDict()

    def new(self) -> str:
        """A mark of a question. The protocol seals it and binds it to the tool and its arguments."""
        mark = token_hex(16)
        self._open[mark] = None
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return mark

    def close(self, mark: str | None) -> bool:
        """Whether this question was open."""
        return mark is not None and self._open.pop(mark, mark) is None


def question(tool: str, arguments: Mapping[str, Any]) -> ElicitRequest:
    """What the user is asked: the call with its arguments, on one line each and without control characters."""
    said = "".join(f"\n  {name}: {_shown(value)}" for name, value in arguments.items())
    return ElicitRequest(params=ElicitRequestFormParams(message=f"Allow {tool} to run?{said}", requested_schema=_FORM))


def require_able_to_ask(call: Context[Any, Any], tool: str) -> None:
    """Raise `ApprovalRequired` if the client has no form to ask its user with."""
    able = call.client_capabilities.elicitation if call.client_capabilities else None
    if able is None or (able.form is None and able.url is not None):
        raise ApprovalRequired(
            f"{tool} is destructive: this server asks the user first, and the client cannot (it has no elicitation)",
            hint="let your user do it, or use a client that can ask",
        )


def require_yes(said: object, tool: str) -> None:
    """Raise `ApprovalRequired` for every answer but a clear yes."""
    if not (isinstance(said, ElicitResult) and said.action == "accept" and (said.content or {}).get(_FIELD) is True):
        raise ApprovalRequired(f"the user did not confirm {tool}: nothing was done", hint="ask them what they want")


async def ask_during_call(call: Context[Any, Any], tool: str, arguments: Mapping[str, Any]) -> None:
    """Ask, and keep the client patient meanwhile. Raises `ApprovalRequired`."""
    try:
        async with sending_progress(call.report_progress):
            said: ElicitResult = await call.session.send_request(
                question(tool, arguments),
                ElicitResult,
                request_read_timeout_seconds=_PATIENCE_S,
                metadata=ServerMessageMetadata(related_request_id=call.request_id),
            )
    except (MCPError, ValidationError, TimeoutError) as error:
        raise ApprovalRequired(f"the user could not be asked about {tool}: {error}", hint="call it again") from error
    require_yes(said, tool)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    half = _SHOWN_LENGTH // 2
    omitted = len(text) - 2 * half
    return text if omitted <= 0 else f"{text[:half]} … {omitted} characters are not shown … {text[-half:]}"
