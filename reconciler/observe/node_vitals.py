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
_RULE = "--"
_RULES = re.compile(rf"^{_RULE}\n", re.MULTILINE)

LOOK_COMMAND = f"""{PROVISIONING_COMMAND}
i=; if [ -r {RECORD_PATH} ]; then read -r i <{RECORD_PATH}; fi
if [ -n "$BASH_VERSION" ]; then mapfile m </proc/modules
read -r t <{_TAINT}; read -r l <{_PRINTK}; read -r u <{_UPTIME}; echo "$i
${{m[*]}}{_RULE}
$t
$l
$u"
else echo "$i"; cat /proc/modules - {_TAINT} {_PRINTK} {_UPTIME} <<RULE
{_RULE}
RULE
fi; true
"""
"""Prints how far cloud-init is, what is installed, which modules are loaded and what the kernel says of itself; that it
runs shows that the login works."""

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
    """A parsed visit; `log` is the rest of the output, and `vitals` is None if they could not be read."""

    provisioning: Provisioning
    modules: tuple[str, ...]
    artifact_id: str | None
    vitals: Vitals | None
    log: ExecResult


def parse_vitals_answer(answer: ExecResult, now: datetime) -> VitalsAnswer:
    """Parse what `LOOK_COMMAND` or `READING_COMMAND` has just printed."""
    provisioning, rest = parse_provisioning(answer.stdout)
    listed, vitals, log, *_ = [*_RULES.split(rest, maxsplit=2), "", ""]
    installed, *modules = listed.split("\n")
    return VitalsAnswer(
        provisioning=provisioning,
        modules=tuple(line.split()[0] for line in modules if line.strip()),
        artifact_id=parse_installed_id(installed),
        vitals=_vitals(vitals.splitlines(), now),
        log=answer.model_copy(update={"stdout": log}),
    )


def _vitals(lines: list[str], now: datetime) -> Vitals | None:
    try:
        taint, printk, uptime, *consoles = lines
        booted = now - timedelta(seconds=float(uptime.split()[0]))
        return Vitals(str(int(taint)), int(printk.split()[0]), booted, any(map(_SERIAL.match, consoles)))
    except (ValueError, IndexError, OverflowError):
        return None
