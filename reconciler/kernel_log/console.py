"""Finds the kernel's lines in a serial console's text, among the output of everything else.

The kernel begins each line with `[    1.234567] ` where `printk.time` is set, with `[    1.234567][    T1] ` where it
knows callers (CONFIG_PRINTK_CALLER), with `[    T1] ` where it knows only those, and with `<6>` before all that where
the console's format is `syslog` (printk.c, print_prefix; `console_msg_format` in kernel-parameters.txt). Some vendors'
kernels put blanks before the closing brackets. Boot loaders, init and login programs write to the same line, even in
the middle of it. Tools that keep logs may strip the blanks in stamps. Without the `<6>`, text that a program wrote into
/dev/kmsg cannot be told from the kernel's own.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import chain, islice, zip_longest

from reconciler.kernel_log.announcements import announced_kind
from reconciler.kernel_log.boots import last_boot
from reconciler.kernel_log.line import TEXT_LIMIT, LogLine, logged, readable

__all__ = ["ConsoleStream", "Style", "dropped_messages", "dropped_notice", "last_boot", "parse_console", "style_of"]

LINES_LIMIT = 150_000
"""How many console lines are kept, the newest: more than virtlogd's 8 MiB hold at 65 bytes each, as in real logs."""

_PRIORITY = rb"(?:<(?P<priority>[0-9]{1,5})>)?"
_CALLER = rb"\[[ ]{0,8}(?P<caller>[TC][0-9]{1,10})[ ]{0,8}\]"
_TIMED = rb"\[(?=[ 0-9]{5})[ ]{0,12}(?P<s>[0-9]{1,20})\.(?P<us>[0-9]{6})[ ]?\](?: ?" + _CALLER + rb")? ?"
_STAMP = re.compile(_TIMED)
_PADDED = re.compile(rb"\[[ ]{1,12}[0-9]{1,20}\.[0-9]{6}[ ]?\]")
_STRIPPED = re.compile(rb"(?m)^((?:<[0-9]{1,5}>)?\[)(?=[0-9]{1,4}\.[0-9]{6}[ ]?\])")
_ENOUGH_STRIPPED = 4
"""Stamps without blanks are the kernel's if one in so many lines or more begins with one: programs print some too."""
_PREFIX = re.compile(_PRIORITY + _TIMED)
_CALLED = re.compile(_PRIORITY + _CALLER + rb" ?")
_BARE = re.compile(rb"<(?P<priority>[0-9]{1,5})>")
_PRIORITY_BEFORE = re.compile(rb"<(?P<priority>[0-9]{1,5})>\Z")
_PRIORITY_BYTES = 7
_SOME_CALLER = re.compile(rb"(?:\A|\n)(?:<[0-9]{1,5}>)?\[[ ]{0,8}[TC][0-9]{1,10}[ ]{0,8}\] ")
_PROMPT = re.compile(rb"[\w.-]{1,64} login: (?=.)", re.DOTALL)
_RETURNED = re.compile(rb"\r(?<!\r\r)\r*+(?=\[[ 0-9])")
_EMPTY_LINES = re.compile(rb"\n\s*\n")
_ORDINARY = re.compile(
    r"(?P<before>[^\n\r\[<]*+)"
    + (_PRIORITY + _TIMED).decode()
    + r"(?P<text>[^\n\r\[]*+(?:\[(?! {0,12}[0-9]{1,20}\.)[^\n\r\[]*+)*+)\r*+(?:\n|\Z)|(?P<other>[^\n]*)\n?"
)
"""The usual form of the kernel's lines: a stamp, possibly after other output, and text without another one.

Or else any other line.
"""
_DROPPED = re.compile(r"\*\* ([0-9]{1,20}) printk messages dropped \*\* ?$")

_BLOCK_BYTES = 256 * 1024
_LONGEST_LINE_BYTES = 1024 * 1024
_PARTS_LIMIT = 1_000
_SAMPLE_BYTES = 1024 * 1024
_UNFINISHED_LIMIT_BYTES = 64 * 1024

_STATE = re.compile(r"CPU: [0-9]{1,5} (?:UID: [0-9]{1,10} )?PID: -?[0-9]{1,10} Comm: ")
"""lib/dump_stack.c, dump_stack_print_info: also of a kernel without symbols."""
_STATE_LINES = 12
"""How many lines may stand between an announcement and the state: KASAN's words on the access, a WARN's own text."""


class Style(Enum):
    """What the kernel begins its lines with on a console."""

    TIMED = "time stamps"
    STRIPPED = "time stamps without the blanks that the kernel pads them with"
    CALLERS = "callers"
    BARE = "nothing: any line may be the kernel's"


def style_of(output: bytes) -> Style:
    """How the kernel marks its lines, judged by the beginning and the end of a log."""
    parts = (output[:_SAMPLE_BYTES], output[max(_SAMPLE_BYTES, len(output) - _SAMPLE_BYTES) :])
    if any(_PADDED.search(part) for part in parts):
        return Style.TIMED
    if any(len(_STRIPPED.findall(part)) * _ENOUGH_STRIPPED > part.count(b"\n") for part in parts):
        return Style.STRIPPED
    if any(_STAMP.search(part) for part in parts):
        return Style.TIMED
    return Style.CALLERS if any(_SOME_CALLER.search(part) for part in parts) else Style.BARE


def parse_console(output: bytes) -> list[LogLine]:
    """The newest `LINES_LIMIT` lines of a console's log.

    If any line has the kernel's mark, only marked lines are the kernel's, and a complete unmarked report at the end.
    """
    style = style_of(output)
    lines = _newest(output, style)
    return lines if style is Style.BARE else with_unmarked_report(lines)


class ConsoleStream:
    """The lines of a console's log that arrives in pieces. An unfinished line is kept, up to a limit."""

    def __init__(self, style: Style = Style.BARE) -> None:
        self.style = style
        self._unfinished = b""

    def take(self, output: bytes) -> list[LogLine]:
        """The lines that have ended. A line longer than the limit is split into as many as it fills."""
        whole, newline, rest = (self._unfinished + output).rpartition(b"\n")
        if len(rest) > _UNFINISHED_LIMIT_BYTES:
            whole, newline, rest = whole + newline + rest, b"", b""
        self._unfinished = rest
        complete = whole + newline
        if self.style is Style.BARE:
            self.style = style_of(complete)
        return _newest(complete, self.style)


def dropped_messages(lines: Sequence[LogLine]) -> int:
    """How many of the kernel's messages a console says were dropped (printk.c, console_prepend_dropped)."""
    return sum(int(found[1]) for line in lines if line.kernel and (found := _DROPPED.search(line.text)))


def dropped_notice(lines: Sequence[LogLine]) -> str:
    """The notice about messages missing on a console; empty if none are."""
    count = dropped_messages(lines)
    return f"the console was too slow and lost {count} of the kernel's messages" if count else ""


def _newest(output: bytes, style: Style) -> list[LogLine]:
    """The newest lines, read in blocks from the end, so that a longer log costs no more."""
    blocks: list[list[LogLine]] = []
    end, room = len(output), LINES_LIMIT
    while end > 0 and room > 0:
        start = _block_start(output, end)
        blocks.append(_parse_block(output[start:end], style)[-room:])
        end, room = start, room - len(blocks[-1])
    return list(chain.from_iterable(reversed(blocks)))


def _block_start(output: bytes, end: int) -> int:
    """Where the block ending at `end` begins: at the start of a line, unless the line is longer than any should be."""
    wanted = end - _BLOCK_BYTES
    if wanted <= 0:
        return 0
    if (newline := output.find(b"\n", wanted, end - 1)) >= 0:
        return newline + 1
    furthest = max(0, end - _LONGEST_LINE_BYTES)
    return max(furthest, output.rfind(b"\n", furthest, wanted) + 1)


def _parse_block(output: bytes, style: Style) -> list[LogLine]:
    block = _EMPTY_LINES.sub(b"\n", output)  # they count towards no limit, so a log may hold millions
    match style:
        case Style.TIMED:
            return _timed(block)
        case Style.STRIPPED:
            return _timed(_STRIPPED.sub(rb"\1    ", block))
        case Style.CALLERS:
            return _called(_unprompted(_on_wire(block)))
        case Style.BARE:
            return [_bare(raw) for raw in _unprompted(_on_wire(block)) if raw.strip()]


def _on_wire(block: bytes) -> Iterator[bytes]:
    """The lines as they were transmitted; before the kernel's mark a carriage return ends a line too."""
    for line in block.split(b"\n"):
        raw = line.strip(b"\r")
        if b"\r[" in raw:
            yield from (part.rstrip(b"\r") for part in _RETURNED.split(raw))
        else:
            yield raw


def _unprompted(wire: Iterable[bytes]) -> Iterator[bytes]:
    """Separate lines from the prompt of getty(8), which waits on the line where the kernel then prints."""
    for raw in wire:
        prompt = _PROMPT.match(raw)
        if prompt is not None:
            yield raw[: prompt.end()]
        yield raw if prompt is None else raw[prompt.end() :]


def _timed(block: bytes) -> list[LogLine]:
    """The lines in each transmitted line of the kernel's; usually there is one."""
    lines: list[LogLine] = []
    for before, priority, seconds, micros, caller, text, other in _ORDINARY.findall(block.decode("latin-1")):
        if other:
            for raw in _on_wire(other.encode("latin-1")):
                lines += _odd(raw)
        elif seconds:
            if before:
                lines += _foreign(before.encode("latin-1"))
            plain = text.isascii() and text.isprintable() and len(text) <= TEXT_LIMIT
            said = text if plain else readable(text.encode("latin-1"))
            time_us = int(seconds + micros)
            lines.append(logged(said, priority or None, time_us, None, caller or None, inline=bool(before)))
    return lines


def _odd(raw: bytes) -> Iterable[LogLine]:
    """The lines in a transmitted line of an unusual form."""
    found = _PREFIX.match(raw)
    behind = 0 if found is None else found.end()
    if raw.find(b"[", behind) >= 0 and _STAMP.search(raw, behind) is not None:
        return _glued(raw)
    if found is None:
        return _foreign(raw)
    priority, *said = found.groups()
    return [_line(raw[behind:], said, priority)]


def _glued(raw: bytes) -> list[LogLine]:
    """A transmitted line that holds several: whatever stands before the kernel's mark was written by something else."""
    stamps = list(islice(_STAMP.finditer(raw), _PARTS_LIMIT))
    before = _priority_before(raw, stamps[0].start())
    start = stamps[0].start() if before is None else before.start()
    lines = _foreign(raw[:start])
    for stamp, following in zip_longest(stamps, stamps[1:]):
        priority = before and before["priority"]
        inline, start = start > 0, len(raw)
        if following is not None:
            before = _priority_before(raw, following.start())
            start = following.start() if before is None else before.start()
        lines.append(_line(raw[stamp.end() : start].rstrip(b"\r"), stamp.groups(), priority, inline=inline))
    return lines


def _priority_before(raw: bytes, stamp: int) -> re.Match[bytes] | None:
    if raw[stamp - 1 : stamp] != b">":
        return None
    return _PRIORITY_BEFORE.search(raw, max(0, stamp - _PRIORITY_BYTES), stamp)


def _line(text: bytes, stamp: Sequence[bytes | None], priority: bytes | None, *, inline: bool = False) -> LogLine:
    seconds, micros, caller = stamp
    assert seconds is not None
    assert micros is not None
    timestamp_us = int(seconds + micros)
    who = None if caller is None else str(caller, "ascii")
    if priority is None:
        return LogLine(readable(text), timestamp_us, None, None, None, True, who, inline)
    return logged(readable(text), priority, timestamp_us, None, who, inline=inline)


def _called(wire: Iterable[bytes]) -> list[LogLine]:
    """The lines of a console whose only mark is the caller."""
    lines: list[LogLine] = []
    for raw in wire:
        found = _CALLED.match(raw)
        if found is None:
            lines += _foreign(raw)
        else:
            who = str(found["caller"], "ascii")
            lines.append(logged(readable(raw[found.end() :]), found["priority"], caller=who))
    return lines


def _foreign(raw: bytes) -> list[LogLine]:
    """Text without a mark is not the kernel's, except its notice of dropped messages."""
    text = readable(raw)
    return [LogLine(text, kernel=_tells_of_dropped(text))] if text.strip() else []


def _tells_of_dropped(text: str) -> bool:
    return "printk messages dropped" in text and _DROPPED.search(text) is not None


def _bare(raw: bytes) -> LogLine:
    found = _BARE.match(raw)
    return logged(readable(raw[found.end() :]), found["priority"]) if found else LogLine(readable(raw))


def with_unmarked_report(lines: list[LogLine]) -> list[LogLine]:
    """The lines of a console with marks; an unmarked report at the end is marked as the kernel's too.

    A kernel prints without its mark if `printk.time` is switched off while it runs (printk.c). A program may print
    similar text, so only a report with the state of a CPU in it, after the last marked line, counts.
    """
    last = next((index for index in range(len(lines) - 1, -1, -1) if lines[index].kernel), -1)
    begins = _first_report(lines, last + 1)
    return [*lines[:begins], *(line._replace(kernel=True) for line in lines[begins:])]


def _first_report(lines: Sequence[LogLine], start: int) -> int:
    """The index where the first report begins, or the number of lines. No line is examined twice."""
    for index in range(start, len(lines)):
        if _STATE.match(lines[index].text):
            near = range(max(start, index - _STATE_LINES), index)
            if found := [before for before in near if announced_kind(lines[before].text)]:
                return found[0]
            start = index
    return len(lines)
