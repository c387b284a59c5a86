"""The roots that a client names with `roots/list`: directories of its project.

Up to revision 2025-11-25 of the protocol the server requests them during the call. Since 2026-07-28, which deprecates
roots and has no requests by the server, the answer to the call is the request, and the client repeats the call with its
answer.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import InputRequiredResult, ListRootsRequest, ListRootsResult, Root
from mcp_types.version import is_version_at_least
from pydantic import ValidationError

from reconciler.errors import OperationFailed

_ASKED_IN_THE_ANSWER = "2026-07-28"
_QUESTION = "roots"
_PATIENCE_S = 10.0
_MOST = 100

_of_this_call: ContextVar[tuple[Path, ...]] = ContextVar("roots of the client", default=())


async def ask_for_roots(call: Context[Any, Any]) -> tuple[Path, ...] | InputRequiredResult:
    """The client's roots, empty if it has none; or the answer that requests them.

    Raises `OperationFailed` if it declares roots but does not list them.
    """
    able = call.client_capabilities
    if able is None or able.roots is None:
        return ()
    if is_version_at_least(call.protocol_version or "", _ASKED_IN_THE_ANSWER):
        said = (call.input_responses or {}).get(_QUESTION)
        if said is None:
            return InputRequiredResult(input_requests={_QUESTION: ListRootsRequest()})
        if not isinstance(said, ListRootsResult):
            raise _silent("its answer is not a list of roots")
        return tuple(_paths(said.roots))
    return tuple(_paths((await _listed(call)).roots))


@contextmanager
def known_roots(roots: tuple[Path, ...]) -> Iterator[None]:
    """Within it `roots_of_caller` answers these."""
    before = _of_this_call.set(roots)
    try:
        yield
    finally:
        _of_this_call.reset(before)


def roots_of_caller() -> tuple[Path, ...]:
    """The roots that the client of this call named; empty if it was not asked."""
    return _of_this_call.get()


async def _listed(call: Context[Any, Any]) -> ListRootsResult:
    try:
        said: ListRootsResult = await call.session.send_request(
            ListRootsRequest(),
            ListRootsResult,
            request_read_timeout_seconds=_PATIENCE_S,
            metadata=ServerMessageMetadata(related_request_id=call.request_id),
        )
    except (MCPError, ValidationError, TimeoutError) as error:
        raise _silent(str(error)) from error
    return said


def _silent(why: str) -> OperationFailed:
    return OperationFailed(
        f"the client declares roots but does not list them: {why}",
        hint="set `host_read_roots` and `host_write_roots` in the configuration instead",
    )


def _paths(roots: Iterable[Root]) -> Iterator[Path]:
    """The roots that are directories of this host; others are ignored."""
    for root, _ in zip(roots, range(_MOST), strict=False):
        uri = urlsplit(str(root.uri))
        path = unquote(uri.path)
        if uri.scheme == "file" and uri.netloc in {"", "localhost"} and path.startswith("/") and "\0" not in path:
            yield Path(path)
