"""The command that is run on a node for its status, and the parser of its output; pure.

Under emulation a process costs as much as the login shell itself, so bash, which is nearly every root's shell, needs
none. Other shells read byte by byte, which the kernel's numbers do not support: they end after the first digit
(kernel/sysctl.c, do_proc_dointvec returns nothing from the second read on). Those shells use `cat`.
What bash has read it prints in one write, since each write(2) becomes a packet that sshd encrypts and sends.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.artifacts.installed import parse_installed_id
from reconciler.artifacts.node_scripts import RECORD_PATH
from reconciler.guest.cloud_init_progress import PROVISIONING_COMMAND, Provisioning, parse_provisioning
from reconciler.kernel_log.kmsg_records import READ_COMMAND
from reconciler.model.results import ExecResult

_TAINT = "/proc/sys/kernel/tainted"
_PRINTK = "/proc/sys/kernel/printk"
_UPTIME = "/proc/uptime"
_CLOCK_SLACK_S = 1.5
_LAST_S = 2**40
_RULE = "--"
_RULES = re.compile(rf"^{_RULE}\n", re.MULTILINE)

LOOK_COMMAND = f"""{PROVISIONING_COMMAND}
i=; if [ -r {RECORD_PATH} ]; then read -r i <{RECORD_PATH}; fi
if [ -n "$BASH_VERSION" ]; then mapfile m </proc/modules
read -r t <{_TAINT}; read -r l <{_PRINTK}; read -r u <{_UPTIME}; printf -v n '%(%s)T' -1; echo "$i
${{m[*]}}{_RULE}
$t
$l
$u
$n"
else echo "$i"; cat /proc/modules - {_TAINT} {_PRINTK} {_UPTIME} <<RULE
{_RULE}
RULE
date +%s; fi; true
"""
"""Prints how far cloud-init is, what is installed, which modules are loaded, what the kernel says of itself,
and the time; that it runs shows that the login works."""

READING_COMMAND = f"""{LOOK_COMMAND}
while read -r c; do echo "$c"; done </proc/consoles; echo {_RULE}; {READ_COMMAND}"""
"""The same, followed by the whole kernel log: `dd` replaces the login shell."""

_SERIAL = re.compile(r"ttyS0 .*\(E")
"""An enabled serial console (fs/proc/consoles.c)."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a kernel says of itself outside its log.

    `taint` is the sum of the flags of Documentation/admin-guide/tainted-kernels.rst. Lines with a level below
    `console_level` are printed on consoles. Only a reading covers the consoles.
    """

    taint: str
    console_level: int
    booted: datetime
    on_serial: bool


@dataclass(frozen=True, slots=True)
class VitalsAnswer:
    """A parsed visit; `log` is the rest of the output, and `vitals` is None if they could not be read.

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
    provisioning, rest = parse_provisioning(answer.stdout)
    listed, vitals, log, *_ = [*_RULES.split(rest, maxsplit=2), "", ""]
    installed, *modules = listed.split("\n")
    told = vitals.splitlines()
    return VitalsAnswer(
        provisioning=provisioning,
        modules=tuple(line.split()[0] for line in modules if line.strip()),
        artifact_id=parse_installed_id(installed),
        vitals=_vitals(told, now),
        log=answer.model_copy(update={"stdout": log}),
        clock_offset_s=_offset_s(told, asked, now) if asked else None,
    )


def _offset_s(lines: list[str], asked: datetime, answered: datetime) -> float | None:
    """Of a clock that is right, the whole second lies between question and answer."""
    try:
        clock_s = max(-_LAST_S, min(int(lines[3]), _LAST_S))
    except (ValueError, IndexError):
        return None
    behind_s, ahead_s = asked.timestamp() - (clock_s + 1), clock_s - answered.timestamp()
    offset_s = ahead_s if ahead_s > 0 else -behind_s
    return round(offset_s, 1) if max(behind_s, ahead_s) >= _CLOCK_SLACK_S else None


def _vitals(lines: list[str], now: datetime) -> Vitals | None:
    try:
        taint, printk, uptime, _clock, *consoles = lines
        booted = now - timedelta(seconds=float(uptime.split()[0]))
        return Vitals(str(int(taint)), int(printk.split()[0]), booted, any(map(_SERIAL.match, consoles)))
    except (ValueError, IndexError, OverflowError):
        return None
