"""Lines that belong together: an event is its announcement with the trace that the kernel prints after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.kernel_log.kinds import OOPSES, EventKind, kind_of
from reconciler.kernel_log.line import LogLine

EVENT_LINES_LIMIT = 400
_LEAD_LIMIT = 8
_FOREIGN_LIMIT = 12

_CUT = "------------[ cut here ]------------"
_RULE = re.compile(r"={20,120}$")
_END = re.compile(r"---\[ end (?:trace |Kernel panic)|stack backtrace:")
"""After this only what is a trace for certain still belongs to the event: registers, or lockdep's own stack."""
_FENCED = frozenset({EventKind.KASAN, EventKind.KFENCE, EventKind.KMSAN, EventKind.UBSAN, EventKind.KCSAN})
_CLOSED = frozenset({*OOPSES, EventKind.WARN, EventKind.PANIC, EventKind.LOCKDEP})
"""Events that the kernel ends with a line of their own; all others end with the last line of their trace."""

_TRACE = re.compile(
    r"\s|$|Call [Tt]race:|CPU: |RIP: |EIP: |RSP: |R[A-DS][XIP]: |RBP: |R(?:08|11|14): |[FC]S: |CR[02]: |DR[03]: |"
    r"PKRU: |EFLAGS: |ESP: |E[AS][XI]: |Code: |Modules linked in:|Unloaded tainted modules:|Hardware name: |"
    r"Workqueue: |Tainted: |PGD |\*pde|#PF: |task:|Stack:|Comm: |pc : |lr : |sp : |pstate: |x[0-9]{1,2} ?: |"
    r"</?(?:TASK|IRQ|NMI|SOFTIRQ)>|NMI backtrace |Sending NMI |rcu: |Task dump for |\"echo 0 > |"
    r"INFO: lockdep|Kernel Offset: |Rebooting in |"
    r"irq event stamp|(?:hard|soft)irqs last|note: |Showing all locks|INFO: task .{1,64} is blocked|"
    r"Future hung task|[A-Za-z_][\w.]{1,200}\+0x[0-9a-f]"
)


@dataclass(slots=True)
class Event:
    """Something bad that the kernel said, as places in the sequence of lines; `head` is the announcement's."""

    kind: EventKind
    head: int
    members: list[int]


@dataclass(slots=True)
class _Grouping:
    lines: Sequence[LogLine]
    events: list[Event] = field(default_factory=list)
    open: Event | None = None
    ending: bool = False
    foreign: list[int] = field(default_factory=list)
    lead: list[int] = field(default_factory=list)

    def add(self, index: int) -> None:
        text = self.lines[index].text
        kind = kind_of(text)
        if kind is not None:
            self._announce(index, kind)
        elif text == _CUT or _RULE.match(text):
            self._rule(index, fence=text != _CUT)
        elif self.open is not None:
            self._follow(index, text)
        elif self.lead:
            self.lead = [*self.lead, index] if len(self.lead) < _LEAD_LIMIT else []

    def _announce(self, index: int, kind: EventKind) -> None:
        if self.open is not None and _absorbs(self.open.kind, kind):
            self._keep(index)
            return
        members = [*self.lead, index]
        self.close()
        self.open = Event(kind, index, members)
        self.events.append(self.open)

    def _rule(self, index: int, *, fence: bool) -> None:
        if fence and self.open is not None and self.open.kind in _FENCED:
            self._keep(index)
            self.close()
            return
        self.close()
        self.lead = [index]

    def _follow(self, index: int, text: str) -> None:
        assert self.open is not None
        if _END.match(text):
            self.ending = True
            self._keep(index)
        elif _TRACE.match(text) or (self.open.kind in _FENCED and not self.ending):
            self._keep(index)
        else:
            self._bear(index)

    def _bear(self, index: int) -> None:
        """A line of somebody else, or of a trace in words that we do not know."""
        assert self.open is not None
        if self.ending or self.open.kind not in _CLOSED or len(self.foreign) >= _FOREIGN_LIMIT:
            self.close()
        else:
            self.foreign.append(index)

    def _keep(self, index: int) -> None:
        assert self.open is not None
        self.open.members += [*self.foreign, index]
        self.foreign = []
        if len(self.open.members) >= EVENT_LINES_LIMIT:
            self.close()

    def close(self) -> None:
        self.open, self.ending, self.foreign, self.lead = None, False, [], []


def find_events(lines: Sequence[LogLine]) -> list[Event]:
    """The events among the lines, in order. Lines that are not the kernel's belong to none."""
    grouping = _Grouping(lines)
    for index, line in enumerate(lines):
        if line.kernel:
            grouping.add(index)
    return grouping.events


def _absorbs(open_kind: EventKind, kind: EventKind) -> bool:
    """Whether an announcement only says more of the event that is open."""
    if open_kind in OOPSES:
        return kind in OOPSES or kind is EventKind.KASAN
    return open_kind is kind is EventKind.RCU_STALL
