"""The nodes' serial consoles: their logs on the host, and attaching to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from reconciler.errors import InvalidArgument
from reconciler.kernel_log.console import ConsoleStream
from reconciler.kernel_log.log_answers import console_text, end_of_console
from reconciler.kernel_log.marker import marked_at_s
from reconciler.model.kernel_log import ConsoleResult
from reconciler.model.record import ClusterRecord
from reconciler.observe.node_console import observe_console, tail_console
from reconciler.records.stored_records import existing, select_node
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection
from reconciler.worker_process.calls import in_memory, in_worker

TAIL_LIMIT = 20_000
MISSED = "[… output is missing here: the console printed more than could be read …]"
_POLL_S = 0.2


class Consoles:
    """Consoles. Contacts no node, so it also works for nodes that are dead or off."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def show(
        self,
        cluster: str,
        node: str,
        *,
        tail: int = 100,
        since_marker: str | None = None,
        follow_s: float = 0.0,
    ) -> ConsoleResult:
        """The last `tail` lines of a console, or of those after the marker if one is given.

        With `follow_s`, waits that long for more lines, and includes them.
        """
        if not 0 < tail <= TAIL_LIMIT:
            raise InvalidArgument(f"`tail` must be from 1 to {TAIL_LIMIT}")
        if since_marker is not None:
            marked_at_s(since_marker)
        record = await self._record(cluster, node)
        await asyncio.sleep(follow_s)
        async with in_memory():
            text = await observe_console(record, node)
            size = len(text.content)
            result = await in_worker(size, end_of_console, node, text.content, tail, since_marker)
        older = None if text.whole else "older parts of the console log were rotated away"
        message = "; ".join(filter(None, (result.message, older)))
        return result.model_copy(update={"written_at": text.written_at, "message": message or None})

    async def follow(self, cluster: str, node: str) -> AsyncIterator[str]:
        """Every new line on a console, without end."""
        log = tail_console(await self._record(cluster, node), node)
        stream = ConsoleStream()
        while True:
            news = await asyncio.to_thread(log.read_new)
            if log.take_missed():
                yield MISSED
            for line in await in_worker(0, stream.take, news):
                yield console_text(line)
            if not news:
                await asyncio.sleep(_POLL_S)

    async def attach(
        self,
        cluster: str,
        node: str,
        typed: AsyncIterator[bytes],
        on_output: Callable[[bytes], None],
        *,
        force: bool = False,
        on_attached: Callable[[], None],
    ) -> bool:
        """Attach to a node's serial console until the input ends; False if the console was closed first.

        Raises `ClusterNotRunning`, and `Conflict` if another user is attached and `force` is not given.
        """
        record = await self._record(cluster, node)
        await Inspection(self._runtime).require_running(record, [node])
        line = await self._runtime.libvirt.open_serial_line(cluster, node, on_output, force=force)
        typing = asyncio.ensure_future(_type(typed, line.write))
        ended = asyncio.ensure_future(line.ended.wait())
        try:
            on_attached()
            await asyncio.wait([typing, ended], return_when=asyncio.FIRST_COMPLETED)
            if typing.done():
                typing.result()
            return not line.ended.is_set()
        finally:
            typing.cancel()
            ended.cancel()
            await line.close()

    async def _record(self, cluster: str, node: str) -> ClusterRecord:
        record = await existing(self._runtime.store, cluster)
        select_node(record, node)
        await self._runtime.looks.parts.require_console_here(record, node)
        return record


async def _type(typed: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
    async for data in typed:
        await write(data)
