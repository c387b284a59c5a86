"""Follows kernel logs over SSH while that answers, and on the console for lines that SSH did not bring."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable

from reconciler.errors import ClusterError
from reconciler.guest.address import GuestAddress
from reconciler.guest.kernel_buffer import Follower
from reconciler.kernel_log.console import ConsoleStream, Style
from reconciler.kernel_log.line import LogLine
from reconciler.model.kernel_log import LogSource
from reconciler.model.record import ClusterRecord
from reconciler.observe.node_console import console_style, tail_console
from reconciler.progress import Progress
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_nodes
from reconciler.runtime import Runtime
from reconciler.worker_process.calls import in_worker

OnLine = Callable[[str, LogLine, LogSource], None]
"""Called with the node, the line, and where it was read."""

_SSH_TIMEOUT_S = 15.0
_STREAM_TIMEOUT_S = 86400.0
_RETRY_S = 2.0
_POLL_S = 0.5
_GRACE_S = 2.0
_REMEMBERED = 20_000
_WAITING_LIMIT = 5_000
"""How many console lines may wait for SSH; beyond that they are passed on immediately."""


async def follow_kernel_logs(
    runtime: Runtime, cluster: str, nodes: str | Iterable[str] | None, on_line: OnLine, progress: Progress
) -> None:
    """Pass on every new line of the nodes' kernels, once each, until cancelled."""
    record = await existing(runtime.store, cluster)
    targets = await addresses(runtime, record, select_nodes(record, nodes))
    elsewhere = await runtime.looks.parts.nodes_elsewhere(record)
    async with asyncio.TaskGroup() as group:
        for address in targets:
            following = _Following(runtime, record, address, on_line, progress, elsewhere.get(address.node))
            group.create_task(following.over_ssh())
            if following.console_host is None:
                group.create_task(following.on_console())


class _Following:
    """Follows one node. A console line waits a moment for SSH to bring the same line with its level."""

    def __init__(
        self,
        runtime: Runtime,
        record: ClusterRecord,
        address: GuestAddress,
        on_line: OnLine,
        progress: Progress,
        console_host: str | None,
    ) -> None:
        """`console_host` is the other host that has the node's console; None where it is here."""
        self.console_host = console_host
        self._node = address.node
        self._on_line = on_line
        self._progress = progress
        self._follower = Follower(runtime.ssh, address, self._from_kernel)
        self._record = record
        self._console = tail_console(record, address.node)
        self._over_ssh, self._only_console = _RecentLines(), _RecentLines()
        self._waiting: deque[tuple[float, LogLine]] = deque()

    async def over_ssh(self) -> None:
        """Follow the kernel's own log across connections and boots."""
        trouble = await self._try(self._follower.skip_present(timeout_s=_SSH_TIMEOUT_S), None)
        while True:
            trouble = await self._try(self._follower.follow(timeout_s=_STREAM_TIMEOUT_S), trouble)
            await asyncio.sleep(_RETRY_S)

    async def on_console(self) -> None:
        """Follow the console, and pass on what SSH does not bring in time."""
        stream = ConsoleStream(await asyncio.to_thread(console_style, self._record, self._node))
        while True:
            try:
                news = await asyncio.to_thread(self._console.read_new)
            except ClusterError as error:
                self._progress.report(f"{self._node}: {error}")
                return
            if self._console.take_missed():
                self._progress.report(
                    f"{self._node}: output is missing, because its console printed more than could be read"
                )
            self._queue(await in_worker(0, stream.take, news), stream.style)
            self._tell_overdue()
            if not news:
                await asyncio.sleep(_POLL_S)

    async def _try(self, work: Awaitable[None], told: str | None) -> str | None:
        try:
            await work
        except ClusterError as error:
            if error.message != told:
                instead = f"its console is on {self.console_host}" if self.console_host else "following its console"
                self._progress.report(f"{self._node}: {error.message}; {instead}")
            return error.message
        return None

    def _queue(self, lines: list[LogLine], style: Style) -> None:
        """Hold back the kernel's lines. If it marks none, any line may be one."""
        due = asyncio.get_running_loop().time() + _GRACE_S
        while len(self._waiting) > _WAITING_LIMIT:
            self._tell(self._waiting.popleft()[1])
        unmarked = style is Style.BARE
        self._waiting.extend((due, line) for line in lines if line.kernel and (line.text or not unmarked))

    def _tell_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now:
            self._tell(self._waiting.popleft()[1])

    def _tell(self, line: LogLine) -> None:
        if not self._over_ssh.has(line):
            self._only_console.add(line)
            self._on_line(self._node, line, LogSource.CONSOLE)

    def _from_kernel(self, line: LogLine) -> None:
        if not self._only_console.has(line):
            self._over_ssh.add(line)
            self._on_line(self._node, line, LogSource.KMSG)


class _RecentLines:
    """The newest lines of one source, identified by what both sources report: the text, and the time if there is one.

    If only one of the sources has times, each line matches one line of the other, once. Only hashes of texts are kept,
    because the guest decides how long they are.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[int, int], None] = {}
        self._timed: Counter[int] = Counter()
        self._untimed: Counter[int] = Counter()
        self._added = 0

    def add(self, line: LogLine) -> None:
        self._added += 1
        key = (-self._added if line.timestamp_us is None else line.timestamp_us, hash(line.text))
        if key not in self._lines:
            self._texts(key)[key[1]] += 1
        self._lines[key] = None
        if len(self._lines) > _REMEMBERED:
            oldest = next(iter(self._lines))
            del self._lines[oldest]
            _use(self._texts(oldest), oldest[1])

    def has(self, line: LogLine) -> bool:
        """Whether a line was already passed on."""
        text = hash(line.text)
        if line.timestamp_us is None:
            return _use(self._timed, text)
        return (line.timestamp_us, text) in self._lines or _use(self._untimed, text)

    def _texts(self, key: tuple[int, int]) -> Counter[int]:
        return self._untimed if key[0] < 0 else self._timed


def _use(texts: Counter[int], text: int) -> bool:
    """Remove one line with this text, if there is one."""
    if text not in texts:
        return False
    texts[text] -= 1
    if not texts[text]:
        del texts[text]
    return True
