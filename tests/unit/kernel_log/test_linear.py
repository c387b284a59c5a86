"""No input costs more than its length, and none is kept beyond the limits, however it was made.

Costs are compared between sizes of one input, in CPU time, the least of several runs: what is quadratic takes sixteen
times as long for four times as much.
"""

import time
import tracemalloc
from collections.abc import Callable

import pytest

from reconciler.kernel_log import console, kmsg_records
from reconciler.kernel_log import report as answers
from reconciler.kernel_log.console import ConsoleStream, last_boot, parse_console
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import TEXT_LIMIT
from reconciler.kernel_log.report import ReportSource, log_report
from reconciler.model.kernel_log import LogSource

pytestmark = pytest.mark.long

KIB = 1024
SMALL, LARGE = 8 * KIB, 32 * KIB
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
    "stripped stamps": b"[1.000000] a\n",
    "nearly stripped stamps": b"[1.00000",
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
    log_report(last_boot(parse_console(output)), ReportSource(LogSource.CONSOLE))


def in_records(output: bytes) -> None:
    log_report(parse_kmsg(output), ReportSource(LogSource.KMSG))


def as_records(output: bytes) -> None:
    output = output[: len(output) // 8]
    log_report(parse_kmsg(b"6,1,1,-;" + output.replace(b"\n", b"\n6,1,1,-;")), ReportSource(LogSource.KMSG))


def cpu_s(work: Callable[[bytes], None], data: bytes) -> float:
    started_s = time.process_time()
    work(data)
    return time.process_time() - started_s


def require_cheap(work: Callable[[bytes], None], data: bytes, *, than: bytes, times: float, or_s: float = 0) -> None:
    """Of three runs each, the least is compared; where one is cheap enough already, the others cannot change that."""
    bound_s = max(times * min(cpu_s(work, than) for _ in range(3)), or_s)
    costs = []
    for _ in range(3):
        costs.append(cpu_s(work, data))
        if costs[-1] < bound_s:
            return
    raise AssertionError((work.__name__, bound_s, costs))


@pytest.mark.parametrize("name", UNITS)
def test_four_times_as_much_costs_about_four_times_as_much(name: str) -> None:
    for work in (on_console, as_records):
        small, large = (filled(UNITS[name], size) for size in (SMALL, LARGE))
        require_cheap(work, large, than=small, times=NOT_LINEAR, or_s=0.01)


@pytest.mark.parametrize("nearly", NEARLY)
def test_a_line_that_nearly_announces_something_costs_no_more_than_its_length(nearly: bytes) -> None:
    """The same amount in short lines and in ones that are sixteen times as long, while an event is open."""
    event = STAMP + b"BUG: open\n"
    short, long = (filled(event + 8 * (STAMP + filled(nearly, length) + b"\n"), 2 * LARGE) for length in (200, 3200))
    require_cheap(on_console, long, than=short, times=4, or_s=0.01)


DEAR = {
    "empty lines": b"\n",
    "empty lines of two characters": b"\r\n",
    "tasks": b"INFO: task \n",
    "tasks whose names have lines": b"INFO: task a\nb:1 blocked for more than 1 seconds\n",
    "bugs": STAMP + b"BUG: a\n",
    "bugs without a mark": b"BUG: a\n",
    "bugs of callers": b"[    T1] BUG: a\n",
    "bugs behind other text": b"x" + STAMP + b"BUG: a\n",
    "bugs in more than ASCII": STAMP + b"BUG: \xc3\xa9\n",
    "bugs of two callers": b"[    1.000000][   T1] BUG: a\n[    1.000000][   T2] BUG: a\n",
    "a rule and a dump": STAMP + b"=" * 20 + b"\n" + STAMP + b"CPU: 0\n",
    "a cut and a dump": STAMP + b"------------[ cut here ]------------\n" + STAMP + b"x\n" + STAMP + b"CPU: 0\n",
    "a bug and its trace": STAMP + b"BUG: a\n" + 3 * (STAMP + b"zzz\n") + STAMP + b" f+0x1/0x2\n",
    "oopses": STAMP + b"Internal error: Oops: 1 [#1] SMP ARM\n",
    "two clocks": b"[    9.000000] INFO: task a:1 blocked for more than 1 seconds\n" + STAMP + b"BUG: a\n",
    "control characters in lines": STAMP + b"\x01\n",
    "records of bugs": b"4,1,1,-;BUG: a\n",
    "records of many lines": b"4,1,1,-;" + rb"BUG: a\x0a" * 100 + b"\n",
    "records of control characters": b"4,1,1,-;" + rb"\x01" + b"\n",
}
DEARER = 6.0
"""Than an ordinary log of the same size: of those above none is at four."""
PART = 32
"""Of 16 MiB, and of the lines that are kept of them."""


@pytest.mark.parametrize("name", DEAR)
def test_no_log_costs_much_more_than_an_ordinary_one_of_its_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (console, kmsg_records, answers):
        monkeypatch.setattr(module, "LINES_LIMIT", module.LINES_LIMIT // PART)
    text = b"usb 1-1: new high-speed USB device number 7 using xhci_hcd\n"
    ordinary, work = (b"6,1,1,-;" + text, in_records) if name.startswith("records") else (STAMP + text, on_console)
    same_size, dear = (filled(unit, 16 * KIB * KIB // PART) for unit in (ordinary, DEAR[name]))
    require_cheap(work, dear, than=same_size, times=DEARER)


@pytest.mark.parametrize("unit", [STAMP, STAMP + b"\n", b"\r[ ", b"a\n", b"[    1.000000] a\n"])
def test_of_any_log_no_more_than_the_newest_lines_are_kept(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LINES_LIMIT", 1000)
    output = filled(unit, 48 * KIB) + b"\n[    2.000000] the last\n"
    for lines in (parse_console(output), ConsoleStream().take(output)):
        assert len(lines) <= 1000
        assert lines[-1].text == "the last"


def test_of_any_records_no_more_than_the_newest_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmsg_records, "LINES_LIMIT", 1000)
    lines = parse_kmsg(b"".join(rb"6,%d,1,-;a\x0ab\x0ac" % number + b"\n" for number in range(2000)))
    assert (len(lines), lines[0].sequence, lines[-1].sequence) == (1000, 1666, 1999)
    device = b"6,%d,1,-;a\n SUBSYSTEM=net\n DEVICE=+x\n"
    assert {line.text for line in parse_kmsg(b"".join(device % number for number in range(2000)))} == {"a"}
    assert parse_kmsg(b"6,1,1,-;" + b"x" * KIB * KIB + b"\n6,2,1,-;next\n")[-1].text == "next"


def test_a_line_without_an_end_is_cut_and_says_so_and_nothing_of_it_is_kept() -> None:
    stream = ConsoleStream(console.Style.TIMED)
    stream.take(STAMP + b"begun: ")
    tracemalloc.start()
    try:
        told = [line.text for _ in range(256) for line in stream.take(b"x" * 256 * KIB)]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told[0].startswith("begun: xxx")
    assert all(text.endswith(" more]") for text in told)
    assert len(told) <= 256
    assert kept < 2 * len(told) * TEXT_LIMIT + 256 * KIB
    assert [line.text for line in stream.take(b"\n" + STAMP + b"next\n")][-1:] == ["next"]
