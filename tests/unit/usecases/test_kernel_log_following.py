"""What two sources say of the same line is told once, also where one of them knows no times."""

import tracemalloc

from reconciler.kernel_log.line import LogLine
from reconciler.usecases.kernel_log_following import _REMEMBERED, _RecentLines


def test_a_line_is_known_again_by_its_time_and_text() -> None:
    told = _RecentLines()
    told.add(LogLine("slow", 5))
    told.add(LogLine("slow", 5))
    assert told.has(LogLine("slow", 5))
    assert told.has(LogLine("slow", 5))
    assert not told.has(LogLine("slow", 6))


def test_a_line_without_a_time_is_known_again_as_often_as_it_was_told() -> None:
    told = _RecentLines()
    told.add(LogLine("slow", 5))
    told.add(LogLine("slow", 6))
    assert [told.has(LogLine("slow")) for _ in range(3)] == [True, True, False]


def test_a_line_that_was_told_without_a_time_is_known_again_by_its_text() -> None:
    told = _RecentLines()
    told.add(LogLine("slow"))
    told.add(LogLine("slow"))
    assert [told.has(LogLine("slow", time_us)) for time_us in (5, 6, 7)] == [True, True, False]


def test_of_very_many_lines_the_oldest_are_forgotten() -> None:
    told = _RecentLines()
    for number in range(_REMEMBERED + 1):
        told.add(LogLine(f"line {number}", number))
    assert not told.has(LogLine("line 0", 0))
    assert not told.has(LogLine("line 0"))
    assert told.has(LogLine(f"line {_REMEMBERED}"))


def test_long_texts_are_known_again_and_not_kept() -> None:
    told = _RecentLines()
    tracemalloc.start()
    try:
        for number in range(_REMEMBERED):
            told.add(LogLine(f"{number:08192d}", number))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told.has(LogLine(f"{1:08192d}", 1))
    assert kept < 1024 * _REMEMBERED
