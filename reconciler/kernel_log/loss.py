"""Why a marker is not in a kernel's buffer, and which lines of that buffer may be older than the marker."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.kernel_log.line import LogLine
from reconciler.model.kernel_log import MarkerState

CLOCK_SLACK_S = 1.0
_DRIFT_S = 0.5


@dataclass(frozen=True, slots=True)
class BufferReading:
    """When a buffer was read and what was known then; times are seconds since 1970 by the host's clock.

    `resumed_at_s` is when the node's memory was last restored, None if it never was; the machine resumed a moment
    later.
    """

    read_at_s: float
    uptime_s: float
    wrapped: bool
    resumed_at_s: float | None = None

    @property
    def _booted_at_s(self) -> float:
        return self.read_at_s - self.uptime_s

    def reverted_since(self, marked_at_s: float) -> bool:
        """Whether a revert took the kernel back to a time before the marker was written."""
        resumed = self.resumed_at_s
        return resumed is not None and resumed > marked_at_s and self._booted_at_s + CLOCK_SLACK_S < resumed

    def booted_since(self, marked_at_s: float) -> bool:
        """Whether the kernel that was read booted after the marker was written."""
        return self._booted_at_s > marked_at_s + CLOCK_SLACK_S


def why_lost(marked_at_s: float, reading: BufferReading, *, shown: bool) -> MarkerState:
    """Why a marker is not in the buffer; `NOT_FOUND` if it would be there, had it ever been written.

    `shown` says that the node's console has it. Then, if the buffer is whole, an earlier boot wrote it, even if the
    boot time seems to contradict that: the clock of an emulated machine on a busy host is seconds off when it starts.
    """
    if reading.reverted_since(marked_at_s):
        return MarkerState.REVERTED
    if reading.booted_since(marked_at_s):
        return MarkerState.NEW_BOOT
    if reading.wrapped:
        return MarkerState.OVERWRITTEN
    return MarkerState.NEW_BOOT if shown else MarkerState.NOT_FOUND


def since_revert(lines: Sequence[LogLine], reading: BufferReading) -> list[LogLine]:
    """The kernel's lines since it resumed from memory, and lines before that which may fall into the pause."""
    assert reading.resumed_at_s is not None
    uptime_then_s = reading.uptime_s - (reading.read_at_s - reading.resumed_at_s)
    first_us = (uptime_then_s - _DRIFT_S) * 1_000_000
    return [line for line in lines if line.timestamp_us is None or line.timestamp_us >= first_us]
