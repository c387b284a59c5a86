"""A serial console's text: what the kernel printed there, among what everybody else did.

The kernel begins each line with `[    1.234567] ` where `printk.time` is set, with `[    1.234567][    T1] ` where it
knows callers (CONFIG_PRINTK_CALLER), and with `<6>` before both where the console's format is `syslog` (printk.c,
print_prefix). Boot loaders, init and login programs write to the same wire, also in the middle of a line.
"""

import re
from collections.abc import Iterator, Sequence

from reconciler.kernel_log.line import LogLine, harmless, logged

_PREFIX = re.compile(
    rb"(?:<(?P<priority>[0-9]{1,5})>)?\[(?P<s>(?=[ 0-9]{5})[ ]{0,4}[0-9]{1,10})\.(?P<us>[0-9]{6})\]"
    rb"(?:\[[ ]{0,8}[TC][0-9]{1,10}\])? ?"
)
_UNTIMED = re.compile(rb"<(?P<priority>[0-9]{1,5})>")
_END_OF_LINE = re.compile(rb"\r*\n\r*|\r+(?=\[[ 0-9])")
_BACKWARDS_US = 1_000_000
_DEAD = "---[ end Kernel panic - not syncing"


def parse_console(output: bytes) -> list[LogLine]:
    """The lines of a console's log. Only lines with a time stamp are the kernel's, where there is one at all."""
    timed = _PREFIX.search(output) is not None
    return [line for raw in _END_OF_LINE.split(output) for line in _lines(raw, timed=timed)]


def take_whole_lines(output: bytes) -> tuple[list[LogLine], bytes]:
    """The lines that have ended, and what stands after them: the beginning of a line that may still grow."""
    whole, newline, rest = output.rpartition(b"\n")
    return parse_console(whole + newline), rest


def last_boot(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines since the kernel began anew: its clock went back, or it spoke again after a panic's last words."""
    start, last_us, dead = 0, 0, False
    for index, line in enumerate(lines):
        if line.timestamp_us is None:
            continue
        if dead or line.timestamp_us + _BACKWARDS_US < last_us:
            start, dead = index, False
        last_us = line.timestamp_us
        dead = dead or line.text.startswith(_DEAD)
    return lines[start:]


def _lines(raw: bytes, *, timed: bool) -> Iterator[LogLine]:
    """The parts of one line on the wire: whatever stands before the kernel's prefix was somebody else's."""
    prefixes = list(_PREFIX.finditer(raw)) if timed else []
    foreign = raw[: prefixes[0].start()] if prefixes else raw
    if foreign.strip() and (text := _text(foreign)).strip():
        yield _untimed(foreign) if not timed else LogLine(text=text, kernel=False)
    ends = [*(found.start() for found in prefixes[1:]), len(raw)]
    for found, end in zip(prefixes, ends, strict=False):
        timestamp_us = int(found["s"]) * 1_000_000 + int(found["us"])
        yield logged(_text(raw[found.end() : end]), _priority(found), timestamp_us)


def _untimed(raw: bytes) -> LogLine:
    found = _UNTIMED.match(raw)
    return logged(_text(raw[found.end() :]), _priority(found)) if found else LogLine(_text(raw))


def _priority(found: re.Match[bytes]) -> int | None:
    return None if found["priority"] is None else int(found["priority"])


def _text(raw: bytes) -> str:
    return harmless(raw.decode(errors="replace"))
