"""Finds where the last boot begins on a console, by the kernel's clock.

The clock of a booting kernel starts from zero and stays behind that of the boot before. A single line older than those
around it is not a boot: paused CPUs print with the clock at which they stopped, a secondary CPU may print before its
clock is set, and programs quote old lines. Nor does a kernel begin in the middle of a report.

Where a machine resumed from a snapshot's memory, which happens within a boot, the clock shows nothing, and where its
disks were replaced it may not have booted yet; there the console has a line written by this program.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.traces import continues_report

_BACKWARDS_US = 1_000_000
_STRAY_LINES = 16
"""Up to so many consecutive lines with an older time may be stray ones, if the clock then jumps forward again."""
_FEW_LINES = 2
"""So many lines with an older time at the end of a log are a boot; a single one is more likely a stray line."""
_DISORDER_US = 50_000
"""How far lines of CPUs that print at the same time may be out of order."""
_LAST_WORDS = (
    "---[ end Kernel panic - not syncing",
    *(f"reboot: {words}" for words in ("Restarting system", "Power down", "System halted", "Power off")),
)
"""kernel/panic.c and kernel/reboot.c; anything with an older time after these is of another boot."""
_BANNERS = ("Linux version ", "Booting Linux on physical CPU ", "Booting Linux on hartid ")
"""init/main.c, start_kernel: the first line of every boot; arm, arm64 and RISC-V print the CPU before it."""
_FIRMWARE = re.compile(r"SeaBIOS|iPXE|GNU GRUB|GRUB loading|UEFI|BdsDxe|EFI stub|Decompressing Linux|U-Boot |OpenSBI ")

MEMORY_PUT_BACK = "vmcluster: what follows goes on from the memory of a snapshot"
"""The console line between what a machine printed before and after its memory was restored."""
DISKS_REPLACED = "vmcluster: what follows boots from other disks: reverted to a snapshot, or created again"
"""The console line between what a machine printed before and after its disks were replaced."""


def last_boot(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines since the kernel last booted, as far as its clock shows, or since its memory or disks were replaced."""
    lines = _of_this_life(lines)
    clock = _Clock()
    for index, line in enumerate(lines):
        if line.timestamp_us is not None:
            clock.tell(index, line, line.timestamp_us)
        elif not line.kernel and _FIRMWARE.search(line.text):
            clock.rebooting = True
    return lines[clock.boot :]


def _of_this_life(lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines without those printed before the memory or the disks were replaced, which belong to another past."""
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].text in {MEMORY_PUT_BACK, DISKS_REPLACED}:
            return lines[index + 1 :]
    return lines


@dataclass(slots=True)
class _Run:
    """Consecutive lines whose time increases.

    `weight` counts the lines that only a booted kernel would print; with `enough` of them the run counts as a boot.
    """

    start: int
    newest_us: int
    enough: int = 1
    weight: int = 0


class _Clock:
    """The certain run, and above it runs of older times, each of which may be a boot or stray lines."""

    def __init__(self) -> None:
        self.rebooting = False
        self._dead = False
        self._runs = [_Run(0, -1)]

    @property
    def boot(self) -> int:
        """Where the last boot begins if nothing follows: an older run at the end is a boot."""
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
            return
        if time_us + slack_us >= top.newest_us:
            top.newest_us = time_us
            if len(self._runs) > 1:
                self._weigh(top, begins=not line.inline and not continues_report(line.text))
            return
        continues = continues_report(line.text)
        if len(self._runs) == 1 and continues:
            top.newest_us = time_us
            return
        self._runs.append(run := _Run(index, time_us, 1 if self._dead or line.inline else _FEW_LINES))
        self._weigh(run, begins=not line.inline and not continues)

    def _weigh(self, run: _Run, *, begins: bool) -> None:
        """Count a line of that run, which only a booted kernel would print if it `begins` something."""
        run.weight += begins
        if run.weight > _STRAY_LINES or self.rebooting:
            self._runs = [run]
            self._dead = self.rebooting = False
