"""Kernels whose whole log was read recently and was clean, and how to tell that it still is without reading it again.

The kernel announces anything bad at the level of a warning or above, so that a serial console of level 5 shows it and
the host has it in a file; a warning, an oops and a soft lockup also taint the kernel. The one exception is that
lockdep's tables are full, which concerns debugging (lockdep.c, print_lockdep_off). That, and whatever was said while
somebody had lowered the console level, or after virtlogd had died, is found within `TRUSTED_S`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.errors import OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.kernel_log.console import dropped_messages, parse_console
from reconciler.kernel_log.kernel_events import first_event
from reconciler.model.kernel_log import KernelEvent
from reconciler.model.status import Condition, ConditionStatus
from reconciler.observe.node_console import ConsolePlace
from reconciler.observe.node_vitals import Vitals
from reconciler.worker_process.calls import in_worker

TRUSTED_S = 60.0
"""How long a reading of the whole log replaces another one."""

_SHOWS_WARNINGS = 5
_NEWS_LIMIT_BYTES = 256 * 1024
_CLOCK_SLACK_S = 1.0


@dataclass(frozen=True, slots=True)
class KernelState:
    """The condition of a node's kernel, and the event that made it false."""

    condition: Condition
    event: KernelEvent | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """A whole log without anything bad. `console` is where the console's log ended before it was read."""

    state: KernelState
    vitals: Vitals
    console: ConsolePlace
    read_at_s: float


class CleanKernels:
    """The clean readings of one process; a kernel that is not healthy is read every time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readings: dict[GuestAddress, _Reading] = {}

    def has(self, address: GuestAddress) -> bool:
        """Whether a look is enough instead of a reading."""
        reading = self._readings.get(address)
        return reading is not None and self._fresh(reading)

    def learn(
        self, address: GuestAddress, state: KernelState, vitals: Vitals | None, console: ConsolePlace | None
    ) -> None:
        """Store a reading if it was clean and the console would show what follows."""
        self._readings = {
            of: reading for of, reading in self._readings.items() if of != address and self._fresh(reading)
        }
        quiet = state.condition.status is ConditionStatus.TRUE
        if quiet and vitals and vitals.on_serial and vitals.console_level >= _SHOWS_WARNINGS and console:
            self._readings[address] = _Reading(state, vitals, console, self._clock())

    async def still(self, address: GuestAddress, vitals: Vitals | None) -> KernelState | None:
        """The state that was read, if nothing suggests that it has changed; None means: read the log."""
        reading = self._readings.get(address)
        if reading is None or vitals is None or not same_kernel(reading.vitals, vitals):
            return None
        try:
            news = await asyncio.to_thread(reading.console.read_on, _NEWS_LIMIT_BYTES)
        except OperationFailed:
            return None
        troubled = news is None or await in_worker(len(news), tells_of_trouble, news)
        return None if troubled else reading.state

    def _fresh(self, reading: _Reading) -> bool:
        return self._clock() - reading.read_at_s < TRUSTED_S


def same_kernel(before: Vitals, now: Vitals) -> bool:
    """Whether a kernel has kept running, as healthy as it was and with a console that shows as much.

    A reboot or a return to saved memory sets its clock back against the host's, whatever the boot id says.
    """
    return (
        now.taint == before.taint
        and now.console_level >= _SHOWS_WARNINGS
        and abs((now.booted - before.booted).total_seconds()) < _CLOCK_SLACK_S
    )


def tells_of_trouble(console: bytes) -> bool:
    """Whether a console announces anything bad, or that lines are missing."""
    lines = parse_console(console)
    return first_event(lines) is not None or dropped_messages(lines) > 0
