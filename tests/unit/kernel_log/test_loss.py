"""Why a marker is gone, and what is older than it."""

import pytest

from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.loss import BufferReading, since_revert, why_lost
from reconciler.model.kernel_log import MarkerState

BOOT_S = 1000.0
"""Booted at 1000, its memory kept at 1100, marked at 1110; read at various times."""
MARKED_S = 1110.0


@pytest.mark.parametrize(
    ("reading", "state"),
    [
        (BufferReading(1200.0, 200.0, wrapped=False), MarkerState.NOT_FOUND),
        (BufferReading(1200.0, 200.0, wrapped=True), MarkerState.OVERWRITTEN),
        (BufferReading(1200.0, 50.0, wrapped=True), MarkerState.NEW_BOOT),
        (BufferReading(1130.0, 110.0, wrapped=False, resumed_at_s=1120.0), MarkerState.REVERTED),
        (BufferReading(9000.0, 1100.0, wrapped=False, resumed_at_s=8000.0), MarkerState.REVERTED),
        (BufferReading(1200.0, 20.0, wrapped=False, resumed_at_s=1120.0), MarkerState.NEW_BOOT),
        (BufferReading(1200.0, 200.0, wrapped=True, resumed_at_s=1105.0), MarkerState.OVERWRITTEN),
    ],
    ids=[
        "never written",
        "wrapped",
        "booted",
        "reverted at once",
        "reverted long after, which looks like a boot",
        "reverted and then booted",
        "reverted before it was written",
    ],
)
def test_the_reason_is_told_by_the_clocks(reading: BufferReading, state: MarkerState) -> None:
    assert why_lost(MARKED_S, reading, shown=False) is state


def test_what_the_console_shows_was_written_before_the_boot_whose_log_is_whole() -> None:
    """The guest's clock is ten seconds ahead: it seems to have booted before the marker was made."""
    assert why_lost(MARKED_S, BufferReading(1150.0, 45.0, wrapped=False), shown=True) is MarkerState.NEW_BOOT
    assert why_lost(MARKED_S, BufferReading(1150.0, 45.0, wrapped=True), shown=True) is MarkerState.OVERWRITTEN


def test_what_was_said_before_the_snapshot_is_older_than_the_marker() -> None:
    """The node went on at 1120 from memory of its second 100, and 10 s later it has been up for 110 s."""
    lines = [
        LogLine(text, at_us) for text, at_us in (("old", 90_000_000), ("new", 100_500_000), ("newest", 109_000_000))
    ]
    reading = BufferReading(1130.0, 110.0, wrapped=False, resumed_at_s=1120.0)
    assert [line.text for line in since_revert(lines, reading)] == ["new", "newest"]
