"""Turns lines into an answer: classification, counts, filters, limits."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import assert_never

from reconciler.kernel_log.event_kinds import OOPSES, WARNINGS, Classification, KernelEventKind, classification_of
from reconciler.kernel_log.kernel_events import Event, FoundEvents, find_all, first_event
from reconciler.kernel_log.line import ERR, LEVELS, WARNING, LogLine
from reconciler.kernel_log.marker import is_marker
from reconciler.kernel_log.traces import is_strong
from reconciler.model.kernel_log import (
    DmesgLine,
    DmesgResult,
    FilterLevel,
    KernelEvent,
    LogSource,
    MarkerState,
)

LINES_LIMIT = 20_000
_CHARACTERS_OF_A_LINE = 256
_ONLY_TAINTS = re.compile(
    r": (?:loading out-of-tree module taints|module verification failed: .{0,80}- tainting) kernel"
)
"""What loading any module from outside the kernel's tree prints: kernel/module/main.c."""
EVENTS_LIMIT = 200
_STOPPED_AT = re.compile(r"RIP: |EIP: |PC is at |(?:pc|epc) {0,3}: |NIP \[")
"""Lines of register dumps that say where a processor was."""
_POSITION = re.compile(r"(?<![\w.])[\w.]{1,200}+\+0x[0-9a-f]{1,16}/0x[0-9a-f]{1,16}(?: \[\w{1,64}\])?")
_WORDS_OF_ERRORS = (
    r"errors?|failed|failure|fails|fatal|corrupt\w{0,8}|panic|abort(?:ed|ing)?|unable to|cannot|could not|timed out|"
    r"hung|out of memory|denied|uncorrect\w{1,6}|stall(?:ed|s)?|bug"
)
_WORDS_OF_WARNINGS = (
    r"warn\w{0,8}|deprecated|unsupported|not supported|invalid|missing|ignor\w{1,4}|degraded|retr(?:y|ies|ying)"
)
_SOUNDS = {
    ERR: re.compile(rf"\b(?:{_WORDS_OF_ERRORS})\b", re.IGNORECASE),
    WARNING: re.compile(rf"\b(?:{_WORDS_OF_ERRORS}|{_WORDS_OF_WARNINGS})\b", re.IGNORECASE),
}
"""How lines sound that have no level, which a console does not show: by their level, no filter could choose them."""
_CHOSEN_BY_WORDS = 'lines without a level are chosen by their words: `filter_level` "all" shows every line'


@dataclass(frozen=True, slots=True)
class ReportSource:
    """Where the lines of a report come from, and what became of the marker."""

    source: LogSource
    boot_id: str | None = None
    marker: MarkerState = MarkerState.NOT_ASKED
    message: str | None = None
    lines_limit: int = LINES_LIMIT
    """How many lines the answer may have, with 256 characters of text each; reports of events may add as much again."""


Origin = ReportSource
"""The name used by scripts outside this repository that measure kernel logs."""


def log_report(lines: Sequence[LogLine], origin: ReportSource, *, filter_level: FilterLevel = "all") -> DmesgResult:
    """The answer for one node: the newest lines if there are very many, and the first events if there are very many."""
    found = find_all(lines, EVENTS_LIMIT)
    classes = _classes(lines, found)
    shown = _shown(lines, classes, filter_level)
    kept = _newest(lines, shown, origin.lines_limit)
    warnings, errors = _counts(lines, found, classes)
    return DmesgResult(
        lines=tuple(_dmesg_line(lines[index], classes[index]) for index in kept),
        oops_detected=not OOPSES.isdisjoint(found.kinds),
        panic_detected=KernelEventKind.PANIC in found.kinds,
        warning_count=warnings,
        error_count=errors,
        events=tuple(_kernel_events(lines, found.events, origin.lines_limit)),
        source=origin.source,
        boot_id=origin.boot_id,
        marker=origin.marker,
        message=_told(origin.message, lines, filter_level),
        omitted_lines=len(shown) - len(kept) + found.lines_left_out,
    )


report = log_report
"""The name under which scripts outside this repository that measure kernel logs import it, as `Origin`."""


def _newest(lines: Sequence[LogLine], shown: Sequence[int], limit: int) -> Sequence[int]:
    """Of the indices of lines to show, the newest that the answer has room for."""
    room = limit * _CHARACTERS_OF_A_LINE
    for count, index in enumerate(reversed(shown[-limit:])):
        room -= len(lines[index].text)
        if room < 0:
            return shown[len(shown) - count :]
    return shown[-limit:]


def first_bad_event(lines: Sequence[LogLine]) -> KernelEvent | None:
    """The first bad event of a kernel; None while it is healthy. The lines must be of one boot."""
    first = first_event(lines)
    return _kernel_event(lines, first) if first else None


def joined(console: Sequence[LogLine], kmsg: Sequence[LogLine]) -> list[LogLine]:
    """The kernel's console lines that are not in its buffer, such as those of an earlier boot, then the buffer."""
    known = {(line.timestamp_us, line.text) for line in kmsg}
    return [*(line for line in console if line.kernel and (line.timestamp_us, line.text) not in known), *kmsg]


def _classes(lines: Sequence[LogLine], found: FoundEvents) -> list[Classification | None]:
    return [
        classification_of(kind) if kind is not None else Classification.NORMAL if line.kernel or line.facility else None
        for line, kind in zip(lines, found.kind_of_line, strict=True)
    ]


def _shown(
    lines: Sequence[LogLine], classes: Sequence[Classification | None], filter_level: FilterLevel
) -> Sequence[int]:
    """The indices of the lines that pass the filter. Every filter passes bad lines with their trace.

    Lines of the kernel without a level pass if they sound like it. Markers have a level only so that consoles show
    them, and say nothing about the kernel.
    """
    match filter_level:
        case "all":
            return range(len(lines))
        case "warn+":
            highest = WARNING
        case "err+":
            highest = ERR
        case _:
            assert_never(filter_level)
    return [
        index
        for index, (line, classified) in enumerate(zip(lines, classes, strict=True))
        if _passes(line, classified, highest) and not is_marker(line)
    ]


def _passes(line: LogLine, classified: Classification | None, highest: int) -> bool:
    if classified is not Classification.NORMAL:
        return classified is not None
    if line.level is None:
        return _SOUNDS[highest].search(line.text) is not None
    return line.level <= highest


def _told(message: str | None, lines: Sequence[LogLine], filter_level: FilterLevel) -> str | None:
    """The message, with how lines were chosen that have no level."""
    unlevelled = filter_level != "all" and any(line.kernel and line.level is None for line in lines)
    return "; ".join(filter(None, (message, _CHOSEN_BY_WORDS if unlevelled else ""))) or None


def _counts(lines: Sequence[LogLine], found: FoundEvents, classes: Sequence[Classification | None]) -> tuple[int, int]:
    """The numbers of warnings and errors. A stack frame is neither, even in a trace printed without an event."""
    levels = [
        line.level
        for line, classified in zip(lines, classes, strict=True)
        if line.level is not None
        and line.level <= WARNING
        and (classified is None or classified is Classification.NORMAL)
        and not is_marker(line)
        and not (line.kernel and _ONLY_TAINTS.search(line.text))
        and not (line.kernel and is_strong(line.text))
    ]
    warnings = sum(kind in WARNINGS for kind in found.kinds)
    return (
        warnings + sum(level == WARNING for level in levels),
        len(found.kinds) - warnings + sum(level <= ERR for level in levels),
    )


def _dmesg_line(line: LogLine, classified: Classification | None) -> DmesgLine:
    return DmesgLine(
        timestamp=_seconds(line),
        level=None if line.level is None else LEVELS[line.level],
        facility=line.facility,
        text=line.text,
        classified_as=None if classified is None else classified.value,
        sequence=line.sequence,
    )


def _kernel_events(lines: Sequence[LogLine], events: Iterable[Event], limit: int) -> Iterator[KernelEvent]:
    """The events, with as much of their reports as the answer has room for."""
    room = limit * _CHARACTERS_OF_A_LINE
    for event in events:
        told = _kernel_event(lines, event, room)
        room -= sum(map(len, told.lines))
        yield told


def _kernel_event(lines: Sequence[LogLine], event: Event, room: float = inf) -> KernelEvent:
    head = lines[event.head]
    sizes = accumulate(len(lines[index].text) for index in event.members)
    told = [lines[index].text for index, size in zip(event.members, sizes, strict=True) if size <= room]
    return KernelEvent(
        kind=event.kind.value,
        classified_as=classification_of(event.kind).value,
        summary=head.text,
        timestamp=_seconds(head),
        sequence=head.sequence,
        place=place_of(head.text, told),
        lines=(*told, *_left_out(len(event.members) - len(told) + event.lines_beyond)),
    )


def place_of(head: str, report: Iterable[str]) -> str | None:
    """Where in the code an event happened: what its first line says, or where the processor was."""
    stopped_at = (text for text in report if _STOPPED_AT.match(text))
    found = next(filter(None, map(_POSITION.search, (head, *stopped_at))), None)
    return found[0] if found else None


def _left_out(count: int) -> list[str]:
    return [f"[… {count} more lines of this report]"] if count else []


def _seconds(line: LogLine) -> float | None:
    return None if line.timestamp_us is None else line.timestamp_us / 1_000_000
