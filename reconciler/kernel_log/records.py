"""The records of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg of the kernel describes them.

    6,339,5140900,-;NET: Registered protocol family 10
     SUBSYSTEM=net

Priority (facility * 8 + level), sequence, microseconds, flags, and more fields that may come; then the text, in which
the kernel writes what is not printable ASCII, and the backslash, as `\\xNN`. Lines that begin with a space carry
properties of the device concerned and are passed over.
"""

import re

from reconciler.kernel_log.line import LogLine, harmless, logged

_HEADER = re.compile(
    rb"([0-9]{1,10}),([0-9]{1,20}),([0-9]{1,16}),[^;,\n]{1,8}"
    rb"(?:,caller=(?P<caller>[TC][0-9]{1,10})(?=[,;]))?(?:,[^;\n]{0,256})?;"
)
_NO_ESCAPE = re.compile(rb"\\(?!x[0-9a-f]{2})")
_RECORDS_LIMIT = 2_000_000

READ_COMMAND = (
    'read -r boot </proc/sys/kernel/random/boot_id; read -r up _ </proc/uptime; echo "$boot $up"; export LC_ALL=C; '
    f"exec dd if=/dev/kmsg ibs=8192 obs=65536 iflag=nonblock count={_RECORDS_LIMIT}"
)
"""One process, in place of the login shell. Each read(2) is one record, from the oldest that is there; at the end it
fails with EAGAIN, and with EPIPE where the next record was overwritten meanwhile (printk.c, devkmsg_read)."""

RECORD_LIMIT_BYTES = 16 * 1024
"""Twice what the kernel makes of its longest message (printk.c, PRINTK_MESSAGE_MAX, each byte as `\\xNN`)."""
LINES_LIMIT = 400_000
"""Lines that are kept, the newest: more than 16 MiB of an ordinary log hold."""


def parse_kmsg(output: bytes) -> list[LogLine]:
    """The newest `LINES_LIMIT` lines, in order; a record of several lines gives several lines with its sequence."""
    records = output.rsplit(b"\n", LINES_LIMIT)
    older = len(records) > LINES_LIMIT
    newest_first: list[LogLine] = []
    for record in reversed(records[older:]):
        newest_first += reversed(_lines(record[:RECORD_LIMIT_BYTES]))
        if len(newest_first) >= LINES_LIMIT:
            break
    return newest_first[:LINES_LIMIT][::-1]


def _lines(record: bytes) -> list[LogLine]:
    header = _HEADER.match(record)
    if header is None:
        return []
    priority, sequence, timestamp_us, caller = header.groups()
    who = None if caller is None else str(caller, "ascii")
    said = _unescaped(record[header.end() :]).decode(errors="replace")
    return [logged(harmless(part), priority, int(timestamp_us), int(sequence), who) for part in said.split("\n")]


def _unescaped(text: bytes) -> bytes:
    """The text as it was said; a backslash that the kernel would not have left is left."""
    if b"\\" not in text:
        return text
    whole = _NO_ESCAPE.sub(rb"\\x5c", text)
    return whole.decode("unicode_escape").encode("latin-1")
