"""Groups lines into events: an announcement with the report that the kernel prints with it.

A report ends with a line of its own (`---[ end trace`, a rule of `=`), or with its trace. Where lines name their caller
(CONFIG_PRINTK_CALLER), each caller's lines are grouped separately, because CPUs print at the same time; where they do
not, a few unrelated lines may stand in the middle of a report.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.kernel_log.announcements import announced_again, announcement, may_announce_again, tells_of_hang
from reconciler.kernel_log.event_kinds import OOPSES, KernelEventKind
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.traces import begins_dump, ends_report, is_strong, is_weak

EVENT_LINES_LIMIT = 400
"""How many lines of an event are shown with it; further lines are only known to belong to it."""
_LEAD_LIMIT = 8
"""How many lines may stand between a rule and its announcement: a WARN's own text may have several."""
_PLAIN_LINES = 2
"""How many lines may stand between a warning in unknown words and its trace; a later trace is not its own."""
_FOREIGN_LIMIT = 24
_FOREIGN_AFTER_TRACE = 3
_WAITING_LIMIT = 200
_PAUSE_US = 30_000_000
"""A report is printed without a pause, but an NMI for another CPU's trace may take 10 s (lib/nmi_backtrace.c)."""
_TASK = "INFO: task "
_COMM_LINES = 15
"""A task's name has at most 15 characters, and each may be a line end (TASK_COMM_LEN)."""

_NUMBER, _NUMBER_WITHIN = re.compile(r"\[#([0-9]{1,6})\]"), 400

_FENCED = frozenset(
    {KernelEventKind.KASAN, KernelEventKind.KFENCE, KernelEventKind.KMSAN, KernelEventKind.UBSAN, KernelEventKind.KCSAN}
)
_ENDED = frozenset({*OOPSES, KernelEventKind.WARN, KernelEventKind.PANIC, KernelEventKind.UBSAN})
"""Events that the kernel ends with a line of their own; all others end with the last line of their trace."""
_MORE_OF = {
    KernelEventKind.RCU_STALL: frozenset({KernelEventKind.RCU_STALL}),
    KernelEventKind.SLAB: frozenset({KernelEventKind.SLAB}),
    KernelEventKind.KASAN: frozenset({KernelEventKind.SLAB}),
    KernelEventKind.MEMORY_LEAK: frozenset({KernelEventKind.MEMORY_LEAK}),
    **dict.fromkeys(OOPSES, frozenset({*OOPSES, KernelEventKind.KASAN})),
}
"""Announcements that only say more about the open event."""


@dataclass(slots=True)
class Event:
    """Something bad that the kernel reported, as indices into the lines; `head` is that of the announcement.

    `members` are the lines shown with it, out of `count`; an event that is not `shown` has none.
    """

    kind: KernelEventKind
    head: int
    shown: bool = True
    count: int = 0
    members: list[int] = field(default_factory=list)

    @property
    def lines_beyond(self) -> int:
        """How many lines it has beyond those that are shown."""
        return max(0, self.count - EVENT_LINES_LIMIT)


class FoundEvents:
    """The events in a log: if there are very many, only the first ones have their lines, but all have their kind.

    `kinds` has the kinds of all events in order, `kind_of_line` has for each line the kind of the event that it belongs
    to, and `lines_left_out` counts the lines that the events beyond the first ones would be shown with.
    """

    def __init__(self, line_count: int, limit: int) -> None:
        self.events: list[Event] = []
        self.kinds: list[KernelEventKind] = []
        self.kind_of_line: list[KernelEventKind | None] = [None] * line_count
        self.lines_left_out = 0
        self._limit = limit

    def begin(self, kind: KernelEventKind, head: int) -> Event:
        """A new event, without lines so far."""
        event = Event(kind, head, len(self.kinds) < self._limit)
        self.kinds.append(kind)
        if event.shown:
            self.events.append(event)
        return event

    def add(self, event: Event, index: int) -> None:
        """Add a line to an event."""
        self.kind_of_line[index] = event.kind
        event.count += 1
        if event.count > EVENT_LINES_LIMIT:
            return
        if event.shown:
            event.members.append(index)
        else:
            self.lines_left_out += 1


class _OpenReport:
    """What one caller is printing: an event, or what may lead to one.

    `waiting` are lines that belong to the event if its trace continues after them; `strangers` counts those of them
    that no known report contains. `number` is the kernel's number of an oops, once it is printed. `resumed` is the
    report that continues after a rule if nothing is announced.
    """

    fenced = False
    traced = False
    ended = False
    waiting: tuple[int, ...] = ()
    strangers = 0
    resumed: "_OpenReport | None" = None
    lead: tuple[int, ...] = ()
    lead_means = ""
    number: str | None = None

    def __init__(self, spoke_us: int | None, event: Event | None = None) -> None:
        self.event = event
        self.spoke_us = spoke_us

    def says_more(self, kind: KernelEventKind, text: str) -> bool:
        """Whether an announcement of that kind is part of the open report.

        Once the kernel has numbered an oops, another announcement of an oops without that number belongs to the next
        one.
        """
        if self.event is None or self.ended or kind not in _MORE_OF.get(self.event.kind, ()):
            return False
        if kind not in OOPSES:
            return True
        number, self.number = self.number, self.number or _number_of(text)
        return number in {None, _number_of(text)}

    def tells_of_warning(self) -> bool:
        """Whether a trace that begins now belongs to a warning with an unknown or lost announcement."""
        if self.lead_means == "plain":
            return len(self.lead) <= _PLAIN_LINES
        return self.lead_means in {"cut", "omen, cut"}

    def keep(self, index: int, found: FoundEvents) -> None:
        assert self.event is not None
        for before in self.waiting:
            found.add(self.event, before)
        self.waiting, self.strangers = (), 0
        found.add(self.event, index)

    def take(self, index: int, text: str, found: FoundEvents) -> bool:
        """Whether the open report continues with a line, or may continue after it."""
        assert self.event is not None
        strong = is_strong(text)
        if ends_report(text):
            self.ended = True
        elif strong:
            self.traced = self.traced or self.event.kind is not KernelEventKind.LOCKDEP
        elif (stranger := not is_weak(text)) or self.ended or self.waiting:
            return self._bear(index, stranger=stranger)
        elif text.startswith("stack backtrace"):
            self.traced = True
        self.keep(index, found)
        return True

    def _bear(self, index: int, *, stranger: bool) -> bool:
        """Take a line that is unrelated or in unknown words; returns whether the report may still continue."""
        assert self.event is not None
        closed = self.fenced or self.event.kind in _ENDED
        limit = 0 if self.ended else _FOREIGN_LIMIT if closed or not self.traced else _FOREIGN_AFTER_TRACE
        self.waiting = (*self.waiting, index)
        self.strangers += stranger
        return self.strangers <= limit and len(self.waiting) <= _WAITING_LIMIT


class _Grouping:
    def __init__(self, lines: Sequence[LogLine], limit: int) -> None:
        self.found = FoundEvents(len(lines), limit)
        self._lines = lines
        self._reports: dict[str | None, _OpenReport] = {}
        self._all_cpus: Event | None = None

    def add(self, index: int, line: LogLine) -> None:
        """Put the next line where it belongs."""
        text = line.text
        means = announcement(text)
        if means is None and text.startswith(_TASK):
            means = self._over_lines(index, line)
        report = self._reports.get(line.caller)
        if report is not None and self._paused(report, line):
            self._close(line.caller)
            report = None
        if isinstance(means, KernelEventKind):
            self._announce(index, line, means, report)
        elif means is not None:
            self._lead(index, line, means, report)
        elif report is not None:
            self._follow(index, line, report)
        elif self._all_cpus is not None and line.caller is not None and is_strong(text):
            self.found.add(self._all_cpus, index)

    @property
    def first_is_whole(self) -> bool:
        """Whether no following line can belong to the first event."""
        if not self.found.events or self._all_cpus is self.found.events[0]:
            return False
        first = self.found.events[0]
        report = self._reports.get(self._lines[first.head].caller)
        if report is not None and report.resumed is not None:
            report = report.resumed
        return report is None or report.event is not first

    def _over_lines(self, index: int, line: LogLine) -> KernelEventKind | str | None:
        """The announcement in a record whose task name spans several lines, which share one time, caller and number.

        No line is examined for two announcements, so that no log costs more than its length.
        """
        text = line.text
        for more in self._lines[index + 1 : index + 1 + _COMM_LINES]:
            if more.text.startswith(_TASK) or not _same_record(more, line):
                break
            text = f"{text}\n{more.text[:200]}"
            if tells_of_hang(more.text):
                return announcement(text)
        return None

    def _paused(self, report: _OpenReport, line: LogLine) -> bool:
        before_us, report.spoke_us = report.spoke_us, line.timestamp_us
        return before_us is not None and line.timestamp_us is not None and line.timestamp_us > before_us + _PAUSE_US

    def _announce(self, index: int, line: LogLine, kind: KernelEventKind, report: _OpenReport | None) -> None:
        continued = None if report is None else self._continued(report, kind, line)
        if continued is not None:
            continued.keep(index, self.found)
            return
        opened = self._open(kind, index, line, report)
        opened.fenced = report is not None and report.lead_means == "fence" and kind in _FENCED

    def _continued(self, report: _OpenReport, kind: KernelEventKind, line: LogLine) -> _OpenReport | None:
        """The report that an announcement is part of, though it could begin one."""
        if report.says_more(kind, line.text):
            return report
        if may_announce_again(line.text):
            if self._announced_again(report, line.text):
                return report
            if self._announced_again(report.resumed, line.text):
                return self._resume(line, report)
        return None

    def _announced_again(self, report: _OpenReport | None, text: str) -> bool:
        if report is None or report.event is None or report.ended:
            return False
        return announced_again(self._lines[report.event.head].text, text)

    def _open(self, kind: KernelEventKind, head: int, line: LogLine, before: _OpenReport | None) -> _OpenReport:
        """Open a new event in place of what its caller printed before, which may have led to it."""
        self._ended(before)
        event = self.found.begin(kind, head)
        report = self._reports[line.caller] = _OpenReport(line.timestamp_us, event)
        for index in before.lead if before is not None else ():
            self.found.add(event, index)
        if before is None or head not in before.lead:
            self.found.add(event, head)
        if kind is KernelEventKind.PANIC:
            self._all_cpus = event
        if kind in OOPSES:
            report.number = _number_of(line.text)
        return report

    def _lead(self, index: int, line: LogLine, means: str, report: _OpenReport | None) -> None:
        event = None if report is None else report.event
        if means == "fence" and report is not None and event is not None and event.kind in _FENCED:
            report.keep(index, self.found)
            self._close(line.caller)
        elif means in {"omen", "plain"} and report is not None and not report.ended:
            self._follow(index, line, report)
        else:
            self._ended(report)
            lead = self._reports[line.caller] = _OpenReport(line.timestamp_us)
            lead.lead, lead.lead_means = (index,), means
            lead.resumed = report if means in {"fence", "cut"} and event is not None else None
            if means == "cut" and report is not None and report.lead_means == "omen" and len(report.lead) == 1:
                lead.lead, lead.lead_means = (*report.lead, index), "omen, cut"

    def _follow(self, index: int, line: LogLine, report: _OpenReport) -> None:
        if report.event is not None:
            if line.text.startswith("Sending NMI "):
                self._all_cpus = report.event
            if not report.take(index, line.text, self.found):
                self._close(line.caller)
        elif report.tells_of_warning() and begins_dump(line.text):
            head = report.lead[1] if len(report.lead) > 1 and report.lead_means == "cut" else report.lead[0]
            self._open(KernelEventKind.WARN, head, line, report).keep(index, self.found)
        elif report.resumed is not None and report.lead_means == "fence" and is_strong(line.text):
            self._follow(index, line, self._resume(line, report))
        elif len(report.lead) < _LEAD_LIMIT:
            report.lead = (*report.lead, index)
        else:
            self._close(line.caller)

    def _resume(self, line: LogLine, lead: _OpenReport) -> _OpenReport:
        """The report that continues after a rule in its middle (such as lockdep.c, debug_show_all_locks)."""
        assert lead.resumed is not None
        report = self._reports[line.caller] = lead.resumed
        report.spoke_us = line.timestamp_us
        for before in lead.lead:
            report.keep(before, self.found)
        return report

    def _close(self, caller: str | None) -> None:
        self._ended(self._reports.pop(caller, None))

    def _ended(self, report: _OpenReport | None) -> None:
        if report is not None and report.event is self._all_cpus:
            self._all_cpus = None


def _number_of(text: str) -> str | None:
    """The number of an oops since boot, as in `die_counter`."""
    match = _NUMBER.search(text[:_NUMBER_WITHIN])
    return match and match[1]


def _same_record(line: LogLine, other: LogLine) -> bool:
    return (line.timestamp_us, line.caller, line.sequence) == (other.timestamp_us, other.caller, other.sequence)


def find_all(lines: Sequence[LogLine], limit: int) -> FoundEvents:
    """The events among the lines. Lines that are not the kernel's belong to no event."""
    grouping = _Grouping(lines, limit)
    for index, line in enumerate(lines):
        if line.kernel:
            grouping.add(index, line)
    return grouping.found


def first_event(lines: Sequence[LogLine]) -> Event | None:
    """The first event; nothing after it is examined."""
    grouping = _Grouping(lines, 1)
    for index, line in enumerate(lines):
        if line.kernel:
            grouping.add(index, line)
            if grouping.first_is_whole:
                break
    return next(iter(grouping.found.events), None)
