"""A guest's own kernel log, /dev/kmsg: reading all of it, following it, and writing a marker into it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.apart.work import apart
from reconciler.errors import OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.marker import PRIORITY
from reconciler.kernel_log.records import READ_COMMAND, RECORD_LIMIT_BYTES, first_sequence, parse_kmsg
from reconciler.model.results import ExecResult

OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
"""More than any ring buffer in use (CONFIG_LOG_BUF_SHIFT is at most 25, 32 MiB, without `log_buf_len`)."""
_READINGS = 5

_KNOWN_LIMIT = 500_000
"""Records of which a follower keeps the times: more than the largest ring buffers hold."""

_FOLLOW_COMMAND = 'read -r boot </proc/sys/kernel/random/boot_id; echo "$boot 0"; export LC_ALL=C; exec cat /dev/kmsg'
_HEADER = re.compile(r"([0-9a-f-]{36}) ([0-9]{1,9}(?:\.[0-9]{1,9})?)\n")
_HEADER_LIMIT_BYTES = 100
_ALL_READ = "Resource temporarily unavailable"
_OVERTAKEN = "Broken pipe"


@dataclass(frozen=True, slots=True)
class KernelBuffer:
    """Everything that the kernel's ring buffer held, as it was read, with the boot that it belongs to."""

    boot_id: str
    uptime_s: float
    records: bytes

    @property
    def lines(self) -> list[LogLine]:
        """The lines, which are parsed each time."""
        return parse_kmsg(self.records)

    @property
    def wrapped(self) -> bool:
        """Whether older records were overwritten."""
        return first_sequence(self.records) not in {None, 0}


async def read_kernel_buffer(ssh: SshPool, address: GuestAddress, *, timeout_s: float) -> KernelBuffer:
    """Read the whole ring buffer.

    Raises what the pool raises, and `OperationFailed` for a log that cannot be read, or is overwritten faster than it
    can be read: a part is never taken for the whole.
    """
    for _ in range(_READINGS):
        answer = await ssh.run(
            address, READ_COMMAND, timeout_s=timeout_s, output_limit_bytes=OUTPUT_LIMIT_BYTES, own=True
        )
        buffer = parse_kernel_buffer(answer, address.node)
        if buffer is not None:
            return buffer
    raise OperationFailed(
        f"the kernel log is overwritten faster than it can be read, {_READINGS} times", node=address.node
    )


def parse_kernel_buffer(answer: ExecResult, node: str) -> KernelBuffer | None:
    """What `READ_COMMAND` printed; None where the kernel overtook the reader. Raises `OperationFailed`."""
    header = _HEADER.match(answer.stdout)
    complete = answer.exit_code == 0 or _ALL_READ in answer.stderr
    if answer.stdout_truncated or answer.timed_out or header is None or not (complete or _OVERTAKEN in answer.stderr):
        raise OperationFailed(
            f"the kernel log cannot be read: {_cause(answer)}",
            node=node,
            hint="reading /dev/kmsg takes root, or `sysctl kernel.dmesg_restrict=0`, and the `dd` of GNU coreutils",
        )
    if not complete:
        return None
    return KernelBuffer(header[1], float(header[2]), answer.stdout[header.end() :].encode())


async def write_marker(ssh: SshPool, address: GuestAddress, marker: str, *, timeout_s: float) -> None:
    """Put a marker into the kernel's log. Raises what the pool raises, and `OperationFailed` where it is not taken."""
    command = (
        "state=; read -r state </proc/sys/kernel/printk_devkmsg; "
        '[ "$state" != off ] || { echo "printk.devkmsg=off, so the kernel takes nothing" >&2; exit 1; }; '
        f"printf '%s\\n' '<{PRIORITY}>{marker}' >/dev/kmsg"
    )
    answer = await ssh.run(address, command, timeout_s=timeout_s, own=True)
    if answer.exit_code != 0:
        raise OperationFailed(
            f"the marker was not written to /dev/kmsg: {_cause(answer)}",
            node=address.node,
            hint="it takes root, and a kernel without `printk.devkmsg=off`",
        )


class Follower:
    """Passes on each line of a kernel's log once, over any number of connections, boots and reverts.

    A record is known again by its number and its time: a kernel that went on from a snapshot's memory gives the
    numbers that came after it out once more.
    """

    def __init__(self, ssh: SshPool, address: GuestAddress, on_line: Callable[[LogLine], None]) -> None:
        self._ssh = ssh
        self._address = address
        self._on_line = on_line
        self._boot_id = ""
        self._known: dict[int | None, int | None] = {}

    async def skip_present(self, *, timeout_s: float) -> None:
        """Pass over what is in the log already."""
        buffer = await read_kernel_buffer(self._ssh, self._address, timeout_s=timeout_s)
        self._boot_id = buffer.boot_id
        self._known = await apart(len(buffer.records), _known, buffer.records)

    async def follow(self, *, timeout_s: float) -> None:
        """Pass on what comes, until the time is up or the kernel overtakes the reader; raises what the pool raises."""
        pending = b""

        def take(data: bytes) -> None:
            nonlocal pending
            whole, newline, rest = (pending + data).rpartition(b"\n")
            pending = rest[:RECORD_LIMIT_BYTES]
            self._take(whole + newline)

        await self._ssh.run(self._address, _FOLLOW_COMMAND, timeout_s=timeout_s, on_stdout=take, own=True)

    def _take(self, output: bytes) -> None:
        header = _HEADER.match(output[:_HEADER_LIMIT_BYTES].decode(errors="replace"))
        if header and header[1] != self._boot_id:
            self._boot_id, self._known = header[1], {}
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
    """The numbers and times by which records are known again."""
    return {line.sequence: line.timestamp_us for line in parse_kmsg(records)}


def _cause(answer: ExecResult) -> str:
    if answer.timed_out:
        return "it did not end in time"
    if answer.stdout_truncated:
        return f"it is longer than {OUTPUT_LIMIT_BYTES} bytes"
    return answer.stderr.strip()[-500:] or f"exit code {answer.exit_code}"
