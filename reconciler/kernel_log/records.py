"""The records of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg of the kernel describes them.

    6,339,5140900,-;NET: Registered protocol family 10
     SUBSYSTEM=net

Priority (facility * 8 + level), sequence, microseconds, flags, and more fields that may come; then the text, in which
the kernel writes what is not printable ASCII, and the backslash, as `\\xNN`. Lines that begin with a space carry
properties of the device concerned and are passed over.
"""

import re
from collections.abc import Iterator

from reconciler.kernel_log.line import LogLine, harmless, logged

_HEADER = re.compile(rb"([0-9]{1,10}),([0-9]{1,20}),([0-9]{1,20}),[^;,\n]{1,8}(?:,[^;\n]{0,256})?;")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_RECORDS_LIMIT = 2_000_000

READ_COMMAND = (
    'read -r boot </proc/sys/kernel/random/boot_id; read -r up _ </proc/uptime; echo "$boot $up"; export LC_ALL=C; '
    f"exec dd if=/dev/kmsg ibs=8192 obs=65536 iflag=nonblock count={_RECORDS_LIMIT}"
)
"""One process, in place of the login shell. Each read(2) is one record, from the oldest that is there; at the end it
fails with EAGAIN, and with EPIPE where the next record was overwritten meanwhile (printk.c, devkmsg_read)."""


def parse_kmsg(output: bytes) -> list[LogLine]:
    """Every line of every record, in order; a record of several lines gives several lines with its sequence."""
    return [line for record in output.split(b"\n") for line in _lines(record)]


def _lines(record: bytes) -> Iterator[LogLine]:
    header = _HEADER.match(record)
    if header is None:
        return
    priority, sequence, timestamp_us = (int(field) for field in header.groups())
    text = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), record[header.end() :]).decode(errors="replace")
    for part in text.split("\n"):
        yield logged(harmless(part), priority, timestamp_us, sequence)
