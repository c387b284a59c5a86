"""Turns what was read of a node into the answer about its log; long answers are passed on in parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from reconciler.errors import OperationFailed
from reconciler.kernel_log import console, kmsg_records
from reconciler.kernel_log.console import dropped_messages, dropped_notice, last_boot, parse_console
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.loss import BufferReading, since_revert, why_lost
from reconciler.kernel_log.marker import after_marker, marked_at_s
from reconciler.kernel_log.report import LINES_LIMIT, ReportSource, first_bad_event, joined, log_report
from reconciler.model.kernel_log import (
    ConsoleResult,
    DmesgLine,
    DmesgResult,
    FilterLevel,
    KernelEvent,
    LogSource,
    MarkerState,
)

CONSOLE_GAP = "the console shows only what the kernel's console level lets through"
_ROTATED = "older parts of the console are gone"
_FIRST_WORDS = "Linux version "
_LINES_OF_A_PART = 250

Part = DmesgResult | tuple[DmesgLine, ...]
"""The answer without its lines, or some of its lines."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The end of a console; `whole` says whether nothing older is gone."""

    content: bytes
    whole: bool


def of_buffer(buffer: bytes, origin: ReportSource, marker: str | None, filter_level: FilterLevel) -> Iterator[Part]:
    """What the kernel's buffer says since the marker; nothing at all if the marker is not in it."""
    lines: Sequence[LogLine] | None = parse_kmsg(buffer)
    assert lines is not None
    if len(lines) >= kmsg_records.LINES_LIMIT:
        origin = replace(origin, message=_also(origin.message, "there are too many lines; the oldest are omitted"))
    if marker is not None:
        lines = after_marker(lines, marker)
    if lines is not None:
        yield from _parts(log_report(lines, origin, filter_level=filter_level))


def of_console(
    shown: Shown, cause: str, marker: str | None, filter_level: FilterLevel, lines_limit: int = LINES_LIMIT
) -> Iterator[Part]:
    """What the console says since the marker, or since the last boot."""
    lines = parse_console(shown.content)
    whole = shown.whole and len(lines) < console.LINES_LIMIT
    since = None if marker is None else after_marker(lines, marker)
    message = f"{cause}; {CONSOLE_GAP}"
    if since is not None:
        state = MarkerState.FOUND
    elif marker is not None:
        where = "is not on the console" if whole else "is not on the console, of which older parts are gone"
        state, message = MarkerState.NOT_FOUND, f"{message}; the marker {where}: this is everything since the last boot"
    else:
        state, message = MarkerState.NOT_ASKED, message if whole else f"{message}; {_ROTATED}"
    said = last_boot(lines) if since is None else since
    yield from _console_parts(said, ReportSource(LogSource.CONSOLE, None, state, message, lines_limit), filter_level)


def of_both(
    shown: Shown | None,
    trouble: str,
    buffer: bytes,
    reading: BufferReading,
    origin: ReportSource,
    marker: str,
    imprecision: str,
    filter_level: FilterLevel,
) -> Iterator[Part]:
    """The whole buffer, which begins after the marker, preceded by what the console has of the time in between.

    `trouble` is why no console is shown, `imprecision` how much older lines may be after a revert. Raises
    `OperationFailed` if the marker should be in the buffer.
    """
    console_lines = None if shown is None else after_marker(parse_console(shown.content), marker)
    state = why_lost(marked_at_s(marker), reading, shown=console_lines is not None)
    if state is MarkerState.NOT_FOUND:
        raise OperationFailed(
            "the marker is not in the kernel log, which is complete since the node's boot",
            hint="it was written on other nodes only; mark again",
        )
    lines: Sequence[LogLine] = parse_kmsg(buffer)
    lines = since_revert(lines, reading) if state is MarkerState.REVERTED else lines
    gap = _GAPS[state] + (f" ({imprecision})" if imprecision and state is MarkerState.REVERTED else "")
    if console_lines is None:
        origin = replace(origin, marker=state, message=f"{gap}{trouble}: lost")
        yield from _parts(log_report(lines, origin, filter_level=filter_level))
    else:
        message = f"{gap}: read from the console; {CONSOLE_GAP}"
        origin = replace(origin, source=LogSource.CONSOLE_THEN_KMSG, marker=state, message=message)
        yield from _console_parts(joined(console_lines, lines), origin, filter_level)


_GAPS = {
    MarkerState.OVERWRITTEN: "the kernel's buffer has wrapped since the marker, and what came between",
    MarkerState.NEW_BOOT: "the node has booted since the marker; what came before that",
    MarkerState.REVERTED: "the node has resumed from a snapshot's memory since the marker, and what came between",
}


def end_of_console(node: str, content: bytes, tail: int, since_marker: str | None) -> ConsoleResult:
    """The last lines of a console; of those after the marker, if one is given."""
    lines: Sequence[LogLine] = parse_console(content)
    state, message = MarkerState.NOT_ASKED, None
    if since_marker is not None:
        since = after_marker(lines, since_marker)
        state = MarkerState.NOT_FOUND if since is None else MarkerState.FOUND
        message = "the marker is not on the console: these are its last lines" if since is None else None
        lines = lines if since is None else since
    return ConsoleResult(
        node_name=node,
        lines=tuple(map(console_text, lines[-tail:])),
        marker=state,
        message=message,
        omitted_lines=max(0, len(lines) - tail),
    )


def console_text(line: LogLine) -> str:
    """A line as the console showed it."""
    stamp = "" if line.timestamp_us is None else f"[{line.timestamp_us / 1_000_000:12.6f}] "
    return stamp + line.text


def first_bad_in_buffer(buffer: bytes) -> tuple[KernelEvent | None, bool]:
    """The first bad event in a kernel's buffer, and whether the buffer holds more lines than are examined."""
    lines = parse_kmsg(buffer)
    return first_bad_event(lines), len(lines) >= kmsg_records.LINES_LIMIT


def first_bad_on_console(content: bytes) -> tuple[KernelEvent | None, bool]:
    """The first bad event of the kernel on a console, and whether the console shows all of that boot."""
    lines = last_boot(parse_console(content))
    return first_bad_event(lines), shows_whole_boot(lines)


def shows_whole_boot(lines: Sequence[LogLine]) -> bool:
    """Whether these are all lines of a boot, from the first line on, which is printed as a notice.

    A console set to `quiet` shows neither that line nor a WARN; one that was too slow does not show all messages.
    """
    first = next((line for line in lines if line.kernel and line.timestamp_us is not None), None)
    return first is not None and first.text.startswith(_FIRST_WORDS) and not dropped_messages(lines)


def joined_parts(parts: Sequence[Part]) -> DmesgResult:
    """Join the parts of an answer."""
    answer, *lines = parts
    assert isinstance(answer, DmesgResult)
    return answer.model_copy(update={"lines": tuple(chain.from_iterable(lines))})


def _parts(answer: DmesgResult) -> Iterator[Part]:
    yield answer.model_copy(update={"lines": ()})
    for start in range(0, len(answer.lines), _LINES_OF_A_PART):
        yield answer.lines[start : start + _LINES_OF_A_PART]


def _console_parts(lines: Sequence[LogLine], origin: ReportSource, filter_level: FilterLevel) -> Iterator[Part]:
    origin = replace(origin, message=_also(origin.message, dropped_notice(lines)))
    return _parts(log_report(lines, origin, filter_level=filter_level))


def _also(message: str | None, more: str) -> str:
    return "; ".join(filter(None, (message, more)))
