"""The roots that a client names with `roots/list`: directories of its project."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import ListRootsRequest, ListRootsResult, Root
from pydantic import ValidationError

from reconciler.errors import OperationFailed

_PATIENCE_S = 10.0
_MOST = 100

_of_this_call: ContextVar[tuple[Path, ...]] = ContextVar("roots of the client", default=())


def has_roots(call: Context[Any, Any]) -> bool:
    """Whether the client declares that it lists its roots."""
    able = call.client_capabilities
    return able is not None and able.roots is not None


def roots_in(said: object) -> tuple[Path, ...]:
    """The roots in a client's answer. Raises `OperationFailed` if it is none."""
    if not isinstance(said, ListRootsResult):
        raise _silent("its answer is not a list of roots")
    return tuple(_paths(said.roots))


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


async def roots_during_call(call: Context[Any, Any]) -> tuple[Path, ...]:
    """The roots that the client lists now. Raises `OperationFailed` if it does not."""
    try:
        said: ListRootsResult = await call.session.send_request(
            ListRootsRequest(),
            ListRootsResult,
            request_read_timeout_seconds=_PATIENCE_S,
            metadata=ServerMessageMetadata(related_request_id=call.request_id),
        )
    except (MCPError, ValidationError, TimeoutError) as error:
        raise _silent(str(error)) from error
    return roots_in(said)


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
