"""Finds reports that a kernel prints without its mark: `printk.time` can be switched off while it runs (printk.c).

A program may print similar text, so only a report with the state of a CPU in it, after the last marked line, counts.
"""

import re
from collections.abc import Sequence

from reconciler.kernel_log.announcements import announced_kind
from reconciler.kernel_log.line import LogLine

_STATE = re.compile(r"CPU: [0-9]{1,5} (?:UID: [0-9]{1,10} )?PID: -?[0-9]{1,10} Comm: ")
"""lib/dump_stack.c, dump_stack_print_info: also of a kernel without symbols."""
_STATE_LINES = 12
"""How many lines may stand between an announcement and the state: KASAN's words on the access, a WARN's own text."""


def with_unmarked_report(lines: list[LogLine]) -> list[LogLine]:
    """The lines of a console with marks; an unmarked report at the end is marked as the kernel's too."""
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
