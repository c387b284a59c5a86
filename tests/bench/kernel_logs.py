"""The cost of parsing a kernel log of the largest size that is read, ordinary and hostile."""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence

from reconciler.host.console_log import READ_LIMIT_BYTES
from reconciler.kernel_log.console import last_boot, parse_console
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.log_answers import Shown, of_console
from reconciler.kernel_log.report import ReportSource, log_report
from reconciler.model.kernel_log import LogSource
from reconciler.worker_process.calls import in_worker_in_parts
from tests.bench.figure import Figure, median_figure

REPEATS = 3
_BOUND_S = 1.0
"""CPU seconds that the interpreter's lock is held for one node's log, all in all."""

_STANDSTILL_S = 0.05

_TEXT = b"usb 1-1: New USB device found, idVendor=0000, idProduct=%04x, bcdDevice= 0.00\n"
_CONSOLE = b"".join(b"[%12.6f][ %6s] " % (n / 50, b"T%d" % (n % 900)) + _TEXT % n for n in range(2000))
_RECORDS = b"".join(b"6,%d,%d,-,caller=T%d;" % (n, n * 20000, n % 900) + _TEXT % n for n in range(2000))
_STAMP = b"[    1.000000] "
_HOSTILE = {
    "carriage returns": b"\r",
    "stamps": _STAMP,
    "escape sequences": b"\x1b[31m",
    "one character": b"x",
    "open brackets": b"[",
    "bugs": _STAMP + b"BUG: a\n",
    "tasks": b"INFO: task \n",
    "two clocks": b"[    9.000000] INFO: task a:1 blocked for more than 1 seconds\n" + _STAMP + b"BUG: a\n",
    "announcements that fail late": _STAMP + b"INFO: task :1 b" * 200 + b"\n",
}


async def measure() -> Sequence[Figure]:
    """CPU seconds for each log of `READ_LIMIT_BYTES`."""
    size = f"{READ_LIMIT_BYTES // 2**20} MiB"
    return [
        _figure(f"console log, {size}", _on_console, _CONSOLE),
        _figure(f"kernel buffer, {size}", _as_records, _RECORDS),
        *(_figure(f"console log, {size} of {name}", _on_console, unit) for name, unit in _HOSTILE.items()),
        await _standstill(f"event loop between two turns, console log, {size} (CPU)", _CONSOLE),
        await _standstill(f"event loop between two turns, {size} of bugs (CPU)", _HOSTILE["bugs"]),
    ]


async def _standstill(name: str, unit: bytes) -> Figure:
    """The longest time that the event loop was blocked while a log was parsed in a worker process."""
    shown = Shown(_filled(unit), whole=True)
    longest = []
    gc.collect()
    gc.freeze()  # as the servers do when they have started: what other benches left is not theirs
    for _ in range(REPEATS):
        turns: list[float] = []
        watching = asyncio.create_task(_note_turns(turns))
        await in_worker_in_parts(len(shown.content), of_console, shown, "", None, "all")
        watching.cancel()
        longest.append(max(turns))
    gc.unfreeze()
    return median_figure(name, longest, limit=_STANDSTILL_S)


async def _note_turns(turns: list[float]) -> None:
    while True:
        began_s = time.process_time()
        await asyncio.sleep(0)
        turns.append(time.process_time() - began_s)


def _filled(unit: bytes) -> bytes:
    return (unit * (READ_LIMIT_BYTES // len(unit) + 1))[:READ_LIMIT_BYTES]


def _on_console(output: bytes) -> None:
    log_report(last_boot(parse_console(output)), ReportSource(LogSource.CONSOLE))


def _as_records(output: bytes) -> None:
    log_report(parse_kmsg(output), ReportSource(LogSource.KMSG))


def _figure(name: str, work: Callable[[bytes], None], unit: bytes) -> Figure:
    output = _filled(unit)
    samples = []
    gc.disable()  # as the process does that understands large logs
    for _ in range(REPEATS):
        started_s = time.process_time()
        work(output)
        samples.append(time.process_time() - started_s)
    gc.enable()
    return median_figure(f"{name} (CPU)", samples, limit=_BOUND_S)
