"""The command that is run on a node for its status, and the parser of its output; pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.artifacts.installed import parse_installed_id
from reconciler.artifacts.node_scripts import RECORD_PATH
from reconciler.guest.cloud_init_progress import (
    REPORT_PATHS,
    WHAT_IS_THERE_COMMAND,
    Provisioning,
    parse_provisioning,
)
from reconciler.guest.printed_files import parse_printed, render_heading, render_printing
from reconciler.kernel_log.kmsg_records import READ_COMMAND
from reconciler.model.results import ExecResult

_MODULES = "/proc/modules"
_TAINT = "/proc/sys/kernel/tainted"
_PRINTK = "/proc/sys/kernel/printk"
_UPTIME = "/proc/uptime"
_STAT = "/proc/stat"
_CONSOLES = "/proc/consoles"
_LOG = "kernel-log"
_CLOCK_SLACK_S = 1.5
_LAST_S = 2**40
_BOOTED = re.compile(r"^btime ([0-9]{1,12})$", re.MULTILINE)

LOOK_COMMAND = WHAT_IS_THERE_COMMAND + render_printing(
    *REPORT_PATHS, RECORD_PATH, _MODULES, _TAINT, _PRINTK, _UPTIME, _STAT, _CONSOLES
)
"""Prints how far cloud-init is, what is installed, which modules are loaded, and what the kernel says of itself;
that it runs shows that the login works."""

READING_COMMAND = f"""{LOOK_COMMAND}
{render_heading(_LOG)}; {READ_COMMAND}"""
"""The same, followed by the whole kernel log: `dd` replaces the shell."""

_SERIAL = re.compile(r"ttyS0 .*\(E")
"""An enabled serial console (fs/proc/consoles.c)."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a kernel says of itself outside its log.

    `taint` is the sum of the flags of Documentation/admin-guide/tainted-kernels.rst. Lines with a level below
    `console_level` are printed on consoles.
    """

    taint: str
    console_level: int
    booted: datetime
    on_serial: bool


@dataclass(frozen=True, slots=True)
class VitalsAnswer:
    """A parsed visit; `log` is empty if it was not read, and `vitals` is None if they could not be read.

    `clock_offset_s` is by how much the guest's clock is certainly ahead of the host's, or behind it if negative; None
    if that is little, or not known.
    """

    provisioning: Provisioning
    modules: tuple[str, ...]
    artifact_id: str | None
    vitals: Vitals | None
    log: ExecResult
    clock_offset_s: float | None = None


def parse_vitals_answer(answer: ExecResult, now: datetime, asked: datetime | None = None) -> VitalsAnswer:
    """Parse what `LOOK_COMMAND` or `READING_COMMAND` has just printed; `asked` is when it was sent."""
    printed = parse_printed(answer.stdout)
    return VitalsAnswer(
        provisioning=parse_provisioning(printed),
        modules=tuple(line.split()[0] for line in printed.get(_MODULES, "").splitlines() if line.strip()),
        artifact_id=parse_installed_id(printed.get(RECORD_PATH, "").partition("\n")[0]),
        vitals=_vitals(printed, now),
        log=answer.model_copy(update={"stdout": printed.get(_LOG, "")}),
        clock_offset_s=_offset_s(printed, asked, now) if asked else None,
    )


def _offset_s(printed: Mapping[str, str], asked: datetime, answered: datetime) -> float | None:
    """Of a clock that is right, the second after what it shows lies between question and answer.

    It shows when the kernel was booted, in whole seconds, and the time since then (fs/proc/stat.c).
    """
    booted = _BOOTED.search(printed.get(_STAT, ""))
    try:
        clock_s = int(booted[1]) + float(printed[_UPTIME].split()[0]) if booted else math.nan
    except (ValueError, LookupError):
        return None
    if math.isnan(clock_s):
        return None
    clock_s = max(-_LAST_S, min(clock_s, _LAST_S))
    behind_s, ahead_s = asked.timestamp() - (clock_s + 1), clock_s - answered.timestamp()
    offset_s = ahead_s if ahead_s > 0 else -behind_s
    return round(offset_s, 1) if max(behind_s, ahead_s) >= _CLOCK_SLACK_S else None


def _vitals(printed: Mapping[str, str], now: datetime) -> Vitals | None:
    try:
        booted = now - timedelta(seconds=float(printed[_UPTIME].split()[0]))
        on_serial = any(map(_SERIAL.match, printed.get(_CONSOLES, "").splitlines()))
        return Vitals(str(int(printed[_TAINT])), int(printed[_PRINTK].split()[0]), booted, on_serial)
    except (ValueError, LookupError, OverflowError):
        return None
