"""Following kernel logs: over SSH as long as that answers, and on the console what SSH has not told."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from reconciler.errors import ClusterError
from reconciler.guest.address import GuestAddress
from reconciler.guest.kernel_log import Follower
from reconciler.kernel_log.console import take_whole_lines
from reconciler.kernel_log.line import LogLine
from reconciler.model.kernel_log import LogSource
from reconciler.model.record import ClusterRecord
from reconciler.observe.console import tail_console
from reconciler.service.access import addresses, existing, select_nodes
from reconciler.service.progress import Progress
from reconciler.service.runtime import Runtime

OnLine = Callable[[str, LogLine, LogSource], None]
"""Told the node, the line, and where it was read."""

_SSH_TIMEOUT_S = 15.0
_STREAM_TIMEOUT_S = 86400.0
_RETRY_S = 2.0
_POLL_S = 0.5
_GRACE_S = 2.0
_REMEMBERED = 20_000


async def follow(
    runtime: Runtime, cluster: str, nodes: str | Iterable[str] | None, on_line: OnLine, progress: Progress
) -> None:
    """Pass on every line that the nodes' kernels say from now on, until cancelled; each line once."""
    record = await existing(runtime.store, cluster)
    targets = addresses(record, select_nodes(record, nodes))
    async with asyncio.TaskGroup() as group:
        for address in targets:
            following = _Following(runtime, record, address, on_line, progress)
            group.create_task(following.over_ssh())
            group.create_task(following.on_console())


class _Following:
    """One node. A line of the console waits a moment for SSH to bring it, with its level."""

    def __init__(
        self, runtime: Runtime, record: ClusterRecord, address: GuestAddress, on_line: OnLine, progress: Progress
    ) -> None:
        self._node = address.node
        self._on_line = on_line
        self._progress = progress
        self._follower = Follower(runtime.ssh, address, self._from_kernel)
        self._console = tail_console(record, address.node)
        self._over_ssh, self._only_console = _Remembered(), _Remembered()
        self._waiting: deque[tuple[float, LogLine]] = deque()

    async def over_ssh(self) -> None:
        """Follow the kernel's own log, over any number of connections and boots."""
        trouble = await self._try(self._follower.skip_present(timeout_s=_SSH_TIMEOUT_S), None)
        while True:
            trouble = await self._try(self._follower.follow(timeout_s=_STREAM_TIMEOUT_S), trouble)
            await asyncio.sleep(_RETRY_S)

    async def on_console(self) -> None:
        """Follow the console, and pass on what SSH does not bring in time."""
        rest = b""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                rest = self._take(rest + await asyncio.to_thread(self._console.read_new))
            except ClusterError as error:
                self._progress.report(f"{self._node}: {error}")
                return
            self._tell_overdue()

    async def _try(self, work: Awaitable[None], told: str | None) -> str | None:
        try:
            await work
        except ClusterError as error:
            if error.message != told:
                self._progress.report(f"{self._node}: {error.message}; its console is followed")
            return error.message
        return None

    def _take(self, output: bytes) -> bytes:
        """Queue the kernel's lines; what follows the last line end comes back."""
        lines, rest = take_whole_lines(output)
        due = asyncio.get_running_loop().time() + _GRACE_S
        self._waiting.extend((due, line) for line in lines if line.timestamp_us is not None)
        return rest

    def _tell_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now:
            line = self._waiting.popleft()[1]
            if not self._over_ssh.has(line):
                self._only_console.add(line)
                self._on_line(self._node, line, LogSource.CONSOLE)

    def _from_kernel(self, line: LogLine) -> None:
        if not self._only_console.has(line):
            self._over_ssh.add(line)
            self._on_line(self._node, line, LogSource.KMSG)


class _Remembered:
    """The newest lines of one source, known again by what both sources say of a line: its time and its text."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int | None, str], None] = {}

    def add(self, line: LogLine) -> None:
        self._lines[line.timestamp_us, line.text] = None
        if len(self._lines) > _REMEMBERED:
            del self._lines[next(iter(self._lines))]

    def has(self, line: LogLine) -> bool:
        return (line.timestamp_us, line.text) in self._lines
