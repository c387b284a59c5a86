"""A guest's own kernel log, /dev/kmsg: reading all of it, following it, and writing a marker into it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from reconciler.errors import OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.kernel_log.kmsg_records import (
    READ_COMMAND,
    RECORD_LIMIT_BYTES,
    first_sequence,
    parse_kmsg,
    read_command,
)
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.marker import PRIORITY
from reconciler.model.results import ExecResult
from reconciler.worker_process.calls import LARGE_BYTES, in_worker

OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
"""More than any ring buffer in use (CONFIG_LOG_BUF_SHIFT is at most 25, 32 MiB, without `log_buf_len`)."""
_FEW_RECORDS = 4000
"""As many as an ordinary buffer of 512 KiB holds."""
_ERRORS_BYTES = 64 * 1024
_READINGS = 5

_KNOWN_LIMIT = 500_000
"""Number of records whose times a follower remembers: more than the largest ring buffers hold."""

_FOLLOW_COMMAND = 'read -r boot </proc/sys/kernel/random/boot_id; echo "$boot 0"; export LC_ALL=C; exec cat /dev/kmsg'
_HEADER = re.compile(rb"([0-9a-f-]{36}) ([0-9]{1,9}(?:\.[0-9]{1,9})?)\n")
_HEADER_LIMIT_BYTES = 100
_ALL_READ = "Resource temporarily unavailable"
_OVERTAKEN = "Broken pipe"


@dataclass(frozen=True, slots=True)
class KernelBuffer:
    """Everything that the kernel's ring buffer held when it was read, and the boot that it belongs to."""

    boot_id: str
    uptime_s: float
    records: bytes

    @property
    def lines(self) -> list[LogLine]:
        """The lines; they are parsed at each call."""
        return parse_kmsg(self.records)

    @property
    def wrapped(self) -> bool:
        """Whether older records were overwritten."""
        return first_sequence(self.records) not in {None, 0}


@asynccontextmanager
async def kernel_buffer(ssh: SshPool, address: GuestAddress, *, timeout_s: float) -> AsyncIterator[KernelBuffer]:
    """Yield the whole ring buffer for the duration of the block; only one large buffer is in memory at a time.

    Raises what the pool raises, and `OperationFailed` if the log cannot be read or is overwritten faster than it can be
    read: a part is never taken for the whole.
    """
    buffer = await _read(ssh, address, timeout_s, LARGE_BYTES, read_command(_FEW_RECORDS))
    if buffer is not None:
        yield buffer
        return
    async with _turn_of_large(asyncio.get_running_loop()):  # every node of a large cluster may have one
        buffer = await _read(ssh, address, timeout_s, OUTPUT_LIMIT_BYTES, READ_COMMAND)
        if buffer is None:
            raise OperationFailed(
                f"the kernel log has more than {OUTPUT_LIMIT_BYTES // 1024**2} MiB",
                node=address.node,
                hint="`node_exec` reads a part of it",
            )
        yield buffer


async def _read(
    ssh: SshPool, address: GuestAddress, timeout_s: float, limit_bytes: int, command: str
) -> KernelBuffer | None:
    """None if the buffer exceeds the limit or what the command reads."""
    for _ in range(_READINGS):
        read = BufferIntake(limit_bytes)
        answer = await ssh.run(
            address, command, timeout_s=timeout_s, output_limit_bytes=_ERRORS_BYTES, on_stdout=read.feed, own=True
        )
        if read.overflowed or (answer.exit_code == 0 and command != READ_COMMAND):
            return None
        buffer = _parsed(read.content, answer, address.node)
        if buffer is not None:
            return buffer
    raise OperationFailed(
        f"the kernel log is overwritten faster than it can be read, {_READINGS} times", node=address.node
    )


class BufferIntake:
    """Collects a stream; one that exceeds the limit is discarded and marked as `overflowed`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.content = bytearray()
        self.overflowed = False

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self.overflowed = self.overflowed or len(self.content) + len(data) > self._limit_bytes
        if self.overflowed:
            self.content = bytearray()
        else:
            self.content += data


@lru_cache(maxsize=2)
def _turn_of_large(_loop: asyncio.AbstractEventLoop) -> asyncio.Lock:
    return asyncio.Lock()


def parse_kernel_buffer(answer: ExecResult, node: str) -> KernelBuffer | None:
    """Parse what `READ_COMMAND` printed; None if the kernel overtook the reader. Raises `OperationFailed`."""
    return _parsed(bytearray(answer.stdout.encode()), answer, node)


def _parsed(printed: bytearray, answer: ExecResult, node: str) -> KernelBuffer | None:
    header = _HEADER.match(printed)
    complete = answer.exit_code == 0 or _ALL_READ in answer.stderr
    if answer.stdout_truncated or answer.timed_out or header is None or not (complete or _OVERTAKEN in answer.stderr):
        raise OperationFailed(
            f"the kernel log cannot be read: {_cause(answer)}",
            node=node,
            hint="reading /dev/kmsg needs root, or `sysctl kernel.dmesg_restrict=0`, and the `dd` of GNU coreutils",
        )
    if not complete:
        return None
    boot_id, uptime_s, end = header[1].decode(), float(header[2]), header.end()
    del header, printed[:end]  # a match keeps the bytes it was found in from being resized
    return KernelBuffer(boot_id, uptime_s, bytes(printed))


async def write_marker(ssh: SshPool, address: GuestAddress, marker: str, *, timeout_s: float) -> None:
    """Write a marker into the kernel's log. Raises what the pool raises, and `OperationFailed` if it is refused."""
    command = (
        "state=; read -r state </proc/sys/kernel/printk_devkmsg; "
        '[ "$state" != off ] || { echo "printk.devkmsg=off, so the kernel accepts nothing" >&2; exit 1; }; '
        f"printf '%s\\n' '<{PRIORITY}>{marker}' >/dev/kmsg"
    )
    answer = await ssh.run(address, command, timeout_s=timeout_s, own=True)
    if answer.exit_code != 0:
        raise OperationFailed(
            f"the marker was not written to /dev/kmsg: {_cause(answer)}",
            node=address.node,
            hint="it needs root, and a kernel without `printk.devkmsg=off`",
        )


class Follower:
    """Passes on each line of a kernel's log once, over any number of connections, boots and reverts.

    A record is recognised by its number and its time, because a kernel that resumed from a snapshot's memory uses the
    numbers after the snapshot a second time.
    """

    def __init__(self, ssh: SshPool, address: GuestAddress, on_line: Callable[[LogLine], None]) -> None:
        self._ssh = ssh
        self._address = address
        self._on_line = on_line
        self._boot_id = ""
        self._known: dict[int | None, int | None] = {}

    async def skip_present(self, *, timeout_s: float) -> None:
        """Skip what is in the log already."""
        async with kernel_buffer(self._ssh, self._address, timeout_s=timeout_s) as buffer:
            self._boot_id = buffer.boot_id
            self._known = await in_worker(len(buffer.records), _known, buffer.records)

    async def follow(self, *, timeout_s: float) -> None:
        """Pass on new lines until the time is up or the kernel overtakes the reader; raises what the pool raises."""
        pending = b""

        def take(data: bytes) -> None:
            nonlocal pending
            whole, newline, rest = (pending + data).rpartition(b"\n")
            pending = rest[:RECORD_LIMIT_BYTES]
            self._take(whole + newline)

        await self._ssh.run(self._address, _FOLLOW_COMMAND, timeout_s=timeout_s, on_stdout=take, own=True)

    def _take(self, output: bytes) -> None:
        header = _HEADER.match(output[:_HEADER_LIMIT_BYTES])
        if header and (boot_id := header[1].decode()) != self._boot_id:
            self._boot_id, self._known = boot_id, {}
        new = [line for line in parse_kmsg(output) if self._known.get(line.sequence) != line.timestamp_us]
        for line in new:
            self._on_line(line)
            self._know(line)

    def _know(self, line: LogLine) -> None:
        self._known.pop(line.sequence, None)
        self._known[line.sequence] = line.timestamp_us
        if len(self._known) > _KNOWN_LIMIT:
            del self._known[next(iter(self._known))]


def _known(records: bytes) -> dict[int | None, int | None]:
    """The numbers and times by which records are recognised."""
    return {line.sequence: line.timestamp_us for line in parse_kmsg(records)}


def _cause(answer: ExecResult) -> str:
    if answer.timed_out:
        return "it timed out"
    if answer.stdout_truncated:
        return f"it is longer than {OUTPUT_LIMIT_BYTES} bytes"
    return answer.stderr.strip()[-500:] or f"exit code {answer.exit_code}"
