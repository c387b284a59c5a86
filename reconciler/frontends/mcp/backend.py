"""One server's access to the use cases: opened by the first call, closed with the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mcp.server.mcpserver import Context, MCPServer

from reconciler.frontends.mcp.caller import Caller
from reconciler.frontends.mcp.client_roots import roots_of_caller
from reconciler.frontends.mcp.progress_sender import sending_progress
from reconciler.frontends.mcp.resource_watch import ResourceWatch

if TYPE_CHECKING:
    from reconciler.frontends.mcp.tool_usecases import ToolService
    from reconciler.model.results import ToolResult
    from reconciler.usecases.application import UseCases

T = TypeVar("T")

_CLIENT_NAME_MAX_LENGTH = 40


class Backend:
    """The use cases, and the changes in progress."""

    def __init__(self, host: "ToolService | None" = None) -> None:
        self.watch = ResourceWatch(self.host)
        self._host = host
        self._settling: set[asyncio.Task[Any]] = set()

    async def host(self) -> "ToolService":
        """The use cases; imported at the first use, outside the event loop."""
        if self._host is None:
            host_class = await asyncio.to_thread(_host_class)
            self._host = self._host or host_class()
        return self._host

    async def outlive_caller(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; if the caller is cancelled, the work continues until the server ends."""
        return await asyncio.shield(self._kept(work))

    async def end_with_caller(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; if the caller is cancelled, so is the work, once.

        What the SDK cancels it cancels again and again, so that a command could not be killed on its node.
        """
        task = self._kept(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def close(self) -> None:
        """Cancel the changes in progress, which a later round continues, and close the use cases."""
        await self.watch.close()
        for task in self._settling:
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        if self._host is not None:
            await self._host.close()

    def _kept(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task


Call = Context[Backend, Any]
"""What a tool is given in addition to its arguments."""


Lifespan = Callable[[MCPServer[Backend]], AbstractAsyncContextManager[Backend]]


def lifespan_with(host: "ToolService | None") -> Lifespan:
    """A backend for the lifetime of the server; without a `host`, use cases that the first call opens."""

    @asynccontextmanager
    async def lifespan(_server: MCPServer[Backend]) -> AsyncIterator[Backend]:
        backend = Backend(host)
        try:
            yield backend
        finally:
            await backend.close()

    return lifespan


async def ask(call: Call, work: "Callable[[UseCases], Awaitable[T]]") -> "ToolResult[T]":
    """Answer with the result of `work`; if the client cancels the call, the work is cancelled."""
    backend = _backend(call)
    host = await backend.host()
    async with sending_progress(call.report_progress) as report:
        return await backend.end_with_caller(host.answer(work, _caller(call), report))


async def settle(call: Call, work: "Callable[[UseCases], Awaitable[T]]") -> "ToolResult[T]":
    """Answer with the result of `work` that changes the desired state, or that takes as long as a copy or an image.

    If the client cancels the call, only the wait ends: the change stays recorded and the work continues.
    """
    backend = _backend(call)
    host = await backend.host()
    async with sending_progress(call.report_progress) as report:
        return await backend.outlive_caller(host.answer(work, _caller(call), report))


async def look(backend: Backend, what: str, work: "Callable[[UseCases], Awaitable[T]]") -> "ToolResult[T]":
    """Answer with the result of `work`, which changes nothing; `what` is its name in the log."""
    host = await backend.host()
    caller = Caller(tool=what, cluster=None, actor="mcp:reader")
    return await backend.end_with_caller(host.answer(work, caller, lambda _: None))


def _backend(call: Call) -> Backend:
    return call.request_context.lifespan_context


def _caller(call: Call) -> Caller:
    request = call.request_context.params or {}
    client = call.session.client_params
    name = client.client_info.name[:_CLIENT_NAME_MAX_LENGTH] if client else "unknown"
    cluster = (request.get("arguments") or {}).get("cluster_name")
    return Caller(tool=str(request.get("name")), cluster=cluster, actor=f"mcp:{name}", roots=roots_of_caller())


def _host_class() -> "type[ToolService]":
    from reconciler.frontends.mcp.tool_usecases import ToolService  # noqa: PLC0415  libvirt and asyncssh: not before a tool needs them

    return ToolService
