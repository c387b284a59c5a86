"""The records of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg of the kernel describes them.

    6,339,5140900,-;NET: Registered protocol family 10
     SUBSYSTEM=net

Priority (facility * 8 + level), sequence, microseconds, flags, and more fields that may come; then the text, in which
the kernel writes what is not printable ASCII, and the backslash, as `\\xNN`. Lines that begin with a space carry
properties of the device concerned and are passed over.
"""

import re
from collections.abc import Sequence
from itertools import chain

from reconciler.kernel_log.line import LogLine, harmless, logged

_HEADER = re.compile(
    rb"([0-9]{1,10}),([0-9]{1,20}),([0-9]{1,16}),[^;,\n]{1,8}"
    rb"(?:,caller=(?P<caller>[TC][0-9]{1,10})(?=[,;]))?(?:,[^;\n]{0,256})?;"
)
_NO_ESCAPE = re.compile(rb"\\(?!x[0-9a-f]{2})")
_RECORDS_LIMIT = 2_000_000


def read_command(count: int) -> str:
    """Prints the boot, the uptime and `count` records; `dd` succeeds only if there may be more."""
    return (
        'read -r boot </proc/sys/kernel/random/boot_id; read -r up _ </proc/uptime; echo "$boot $up"; export LC_ALL=C; '
        f"exec dd if=/dev/kmsg ibs=8192 obs=65536 iflag=nonblock count={count}"
    )


READ_COMMAND = read_command(_RECORDS_LIMIT)
"""One process, in place of the login shell.

Each read(2) is one record, starting from the oldest; at the end it fails with EAGAIN, and with EPIPE if the next record
was overwritten meanwhile (printk.c, devkmsg_read).
"""

RECORD_LIMIT_BYTES = 16 * 1024
"""Twice the longest form of the kernel's longest message (printk.c, PRINTK_MESSAGE_MAX, each byte as `\\xNN`)."""
LINES_LIMIT = 200_000
"""How many lines are kept, the newest: as many as ordinary buffers of 8 MiB hold; the default is 128 KiB."""

_BLOCK_BYTES = 256 * 1024
_FIRST = re.compile(rb"^" + _HEADER.pattern, re.MULTILINE)
_RECORD = re.compile(_HEADER.pattern.decode() + r"([^\n]*)\n?|[^\n]*\n?")
"""Matches a record with its fields, or any other line, which has none."""


def parse_kmsg(output: bytes) -> list[LogLine]:
    """The newest `LINES_LIMIT` lines, in order; a record of several lines becomes several lines with its sequence."""
    blocks: list[list[LogLine]] = []
    end, room = len(output), LINES_LIMIT
    while end > 0 and room > 0:
        start = _block_start(output, end)
        blocks.append(_parse_block(output[start:end])[-room:])
        end, room = start, room - len(blocks[-1])
    return list(chain.from_iterable(reversed(blocks)))


def first_sequence(output: bytes) -> int | None:
    """The number of the oldest record; None if there is none."""
    first = _FIRST.search(output)
    return None if first is None else int(first[2])


def _block_start(output: bytes, end: int) -> int:
    """Where the block ending at `end` begins: at the start of a record, however long it is."""
    wanted = end - _BLOCK_BYTES
    return 0 if wanted <= 0 else output.rfind(b"\n", 0, wanted) + 1


def _parse_block(block: bytes) -> list[LogLine]:
    lines: list[LogLine] = []
    for priority, sequence, timestamp_us, caller, said in _RECORD.findall(block.decode("latin-1")):
        if priority:
            lines += (
                logged(text, priority, int(timestamp_us), int(sequence), caller or None)
                for text in _texts(said[:RECORD_LIMIT_BYTES])
            )
    return lines


def _texts(said: str) -> Sequence[str]:
    """The lines of a record; nearly all records have one line of plain ASCII with nothing escaped."""
    if said.isascii() and said.isprintable() and "\\" not in said:
        return (harmless(said),)
    return [harmless(text) for text in _unescaped(said.encode("latin-1")).split("\n")]


def _unescaped(text: bytes) -> str:
    """The text as it was printed; a backslash that the kernel would have escaped is kept."""
    if b"\\" not in text:
        return text.decode(errors="replace")
    whole = _NO_ESCAPE.sub(rb"\\x5c", text) if _NO_ESCAPE.search(text) else text
    said = whole.decode("unicode_escape")
    return said if said.isascii() else said.encode("latin-1").decode(errors="replace")
