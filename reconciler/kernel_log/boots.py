"""Where a console's last boot begins, told by the kernel's clock.

The clock of a kernel that boots starts from zero and stays behind the one before. One line that is older than those
around it is no boot: CPUs that stand still print with the clock at which they stopped, a secondary CPU may speak before
its clock is set, and programs quote old lines. Nor does a kernel begin in the middle of a report.

Where a machine resumed from a snapshot's memory the clock tells nothing, as that is within a boot: there the
console has a line of this program's own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.traces import continues_report

_BACKWARDS_US = 1_000_000
_STRAY_LINES = 16
"""Lines in a row with an older time that may still be stray ones, when the clock jumps forward again after them."""
_FEW_LINES = 2
"""Lines with an older time at the end of a log that are a boot: one alone is rather a stray one."""
_DISORDER_US = 50_000
"""How far the lines of CPUs that speak at once may be out of order."""
_LAST_WORDS = (
    "---[ end Kernel panic - not syncing",
    *(f"reboot: {words}" for words in ("Restarting system", "Power down", "System halted", "Power off")),
)
"""kernel/panic.c and kernel/reboot.c; whatever has an older time after that is of another boot."""
_BANNERS = ("Linux version ", "Booting Linux on physical CPU ", "Booting Linux on hartid ")
"""init/main.c, start_kernel: the first line of every boot; arm, arm64 and RISC-V say on which CPU before it."""
_FIRMWARE = re.compile(r"SeaBIOS|iPXE|GNU GRUB|GRUB loading|UEFI|BdsDxe|EFI stub|Decompressing Linux|U-Boot |OpenSBI ")

MEMORY_PUT_BACK = "vmcluster: what follows goes on from the memory of a snapshot"
"""The line on a console between what a machine said and what it says after its memory was put back."""


def last_boot(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines since the kernel began from the beginning, as far back as its clock tells, or since it was put back."""
    lines = _of_this_life(lines)
    clock = _Clock()
    for index, line in enumerate(lines):
        if line.timestamp_us is not None:
            clock.tell(index, line, line.timestamp_us)
        elif not line.kernel and _FIRMWARE.search(line.text):
            clock.rebooting = True
    return lines[clock.boot :]


def _of_this_life(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """Without what a machine said before its memory was put back, which for that kernel has never been."""
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].text == MEMORY_PUT_BACK:
            return lines[index + 1 :]
    return lines


@dataclass(slots=True)
class _Run:
    """Lines in a row whose time goes forward.

    `weight` counts those that only a kernel that has booted would say, of which it takes `enough` to believe it.
    """

    start: int
    newest_us: int
    enough: int = 1
    weight: int = 0


class _Clock:
    """The run that is certain, and above it runs of older times, each of which may be a boot or stray lines."""

    def __init__(self) -> None:
        self.rebooting = False
        self._dead = False
        self._runs = [_Run(0, -1)]

    @property
    def boot(self) -> int:
        """Where the last boot begins if nothing follows: what stayed behind was one."""
        believed = (run.start for run in reversed(self._runs[1:]) if run.weight >= run.enough)
        return next(believed, self._runs[0].start)

    def tell(self, index: int, line: LogLine, time_us: int) -> None:
        """Take the time of the next line that has one."""
        if len(self._runs) == 1 and time_us >= self._runs[0].newest_us:
            self._runs[0].newest_us = time_us
        else:
            self._go_back(index, line, time_us)
        self._dead = self._dead or line.text.startswith(_LAST_WORDS)

    def _go_back(self, index: int, line: LogLine, time_us: int) -> None:
        slack_us = _DISORDER_US if self._dead or self.rebooting else _BACKWARDS_US
        while len(self._runs) > 1 and time_us + slack_us >= self._runs[-2].newest_us:
            self._runs.pop()
        top = self._runs[-1]
        if time_us < top.newest_us and line.text.startswith(_BANNERS):
            self._runs = [_Run(index, time_us)]
            self._dead = self.rebooting = False
        elif time_us + slack_us >= top.newest_us or (len(self._runs) == 1 and continues_report(line.text)):
            top.newest_us = time_us
        else:
            enough = 1 if self._dead or line.inline else _FEW_LINES
            self._runs.append(top := _Run(index, time_us, enough))
        if len(self._runs) > 1:
            self._weigh(top, line)

    def _weigh(self, run: _Run, line: LogLine) -> None:
        if not line.inline and not continues_report(line.text):
            run.weight += 1
        if run.weight > _STRAY_LINES or self.rebooting:
            self._runs = [run]
            self._dead = self.rebooting = False
