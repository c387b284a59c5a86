"""No input costs more than its length, and none is kept beyond the limits, however it was made.

Costs are compared between sizes of one input, in CPU time, the least of several runs: what is quadratic takes sixteen
times as long for four times as much.
"""

import time
from collections.abc import Callable

import pytest

from reconciler.kernel_log import console, records
from reconciler.kernel_log.console import ConsoleStream, last_boot, parse_console
from reconciler.kernel_log.records import parse_kmsg
from reconciler.kernel_log.report import Origin, report
from reconciler.model.kernel_log import LogSource

KIB = 1024
SMALL, LARGE = 16 * KIB, 64 * KIB
NOT_LINEAR = 10.0
"""Between the four of what is linear and the sixteen of what is quadratic."""
STAMP = b"[    1.000000] "
UNITS = {
    "carriage returns": b"\r",
    "stamps": STAMP,
    "stamps on lines": STAMP + b"\n",
    "escape sequences": b"\x1b[31m",
    "unfinished escape sequences": b"\x1b]0;",
    "one character": b"x",
    "control characters": b"\x01",
    "open brackets": b"[",
    "brackets at line ends": b"\r[ ",
    "nearly stamps": b"[" + b" " * 12 + b"9" * 20,
    "priorities": b"<12345>[ 1",
    "line ends": b"\n",
}
NEARLY = (
    b"INFO: task ",
    b"INFO: task :1 b",
    b"WARNING: [",
    b"WARNING: [] at ",
    b"WARNING: a:1 at b, CPU",
    b"BUG a(",
    b"BUG a (Tainted: ",
    b"Allocated in a age=1 ",
    b"Oops",
    b"a b: ",
    b"general protection fault",
    b"UBSAN: a in b:1:",
    b"Internal error: ",
    b"kmem_cache_destroy a: S",
    b"Kernel BUG [#",
    b"sh(1): Oops",
    b" [<",
    b"task: ",
    b"Process (pid",
    b"note: a[1] ",
    b"r1: ",
    b"-> #1 {",
    b"a+0x",
)


def filled(unit: bytes, size: int) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


def on_console(output: bytes) -> None:
    report(last_boot(parse_console(output)), Origin(LogSource.CONSOLE))


def as_records(output: bytes) -> None:
    output = output[: len(output) // 8]
    report(parse_kmsg(b"6,1,1,-;" + output.replace(b"\n", b"\n6,1,1,-;")), Origin(LogSource.KMSG))


def least_cpu_s(work: Callable[[bytes], None], data: bytes) -> float:
    costs = []
    for _ in range(3):
        started_s = time.process_time()
        work(data)
        costs.append(time.process_time() - started_s)
    return min(costs)


@pytest.mark.parametrize("name", UNITS)
def test_four_times_as_much_costs_about_four_times_as_much(name: str) -> None:
    for work in (on_console, as_records):
        small, large = (least_cpu_s(work, filled(UNITS[name], size)) for size in (SMALL, LARGE))
        assert large < max(NOT_LINEAR * small, 0.01), (work.__name__, small, large)


@pytest.mark.parametrize("nearly", NEARLY)
def test_a_line_that_nearly_announces_something_costs_no_more_than_its_length(nearly: bytes) -> None:
    """The same amount in short lines and in ones that are sixteen times as long, while an event is open."""
    event = STAMP + b"BUG: open\n"
    short, long = (
        least_cpu_s(on_console, filled(event + 8 * (STAMP + filled(nearly, length) + b"\n"), LARGE))
        for length in (200, 3200)
    )
    assert long < max(4 * short, 0.01), (short, long)


@pytest.mark.parametrize("unit", [STAMP, STAMP + b"\n", b"\r[ ", b"a\n", b"[    1.000000] a\n"])
def test_of_any_log_no_more_than_the_newest_lines_are_kept(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LINES_LIMIT", 1000)
    output = filled(unit, 128 * KIB) + b"\n[    2.000000] the last\n"
    for lines in (parse_console(output), ConsoleStream().take(output)):
        assert len(lines) <= 1000
        assert lines[-1].text == "the last"


def test_of_any_records_no_more_than_the_newest_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LINES_LIMIT", 1000)
    lines = parse_kmsg(b"".join(rb"6,%d,1,-;a\x0ab\x0ac" % number + b"\n" for number in range(2000)))
    assert (len(lines), lines[0].sequence, lines[-1].sequence) == (1000, 1666, 1999)
    device = b"6,%d,1,-;a\n SUBSYSTEM=net\n DEVICE=+x\n"
    assert {line.text for line in parse_kmsg(b"".join(device % number for number in range(2000)))} == {"a"}
    assert parse_kmsg(b"6,1,1,-;" + b"x" * KIB * KIB + b"\n6,2,1,-;next\n")[-1].text == "next"
