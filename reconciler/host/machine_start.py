"""When a machine was started, by the process that libvirt says it is (proc(5)).

libvirt writes the number of the process to a file at each start, also where the machine goes on from memory, and
anybody may read both. That file's time is on the same clock as the times of all that the machine writes later, so the
two can be compared however the clock was set meanwhile; how long ago it was is told by a clock that nobody sets.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.model.document import Unknown

PID_FILES = Path("/run/libvirt/qemu")
_PROCESSES = Path("/proc")
_START_FIELD = 22 - 3  # in stat, after the name of the program, which ends with the last parenthesis


@dataclass(frozen=True, slots=True)
class MachineStart:
    """A machine's present process; `restored` says that it began from memory and not with a boot."""

    age_s: float
    started_ns: int
    restored: bool


def read_machine_start(name: str, pid_files: Path = PID_FILES) -> MachineStart | Unknown:
    """The start of the domain's present process; unknown where there is none, or it cannot be looked at."""
    file = pid_files / f"{name}.pid"
    try:
        started_ns = file.stat().st_mtime_ns
        process = _PROCESSES / str(int(file.read_text()))
        words = (process / "cmdline").read_bytes().split(b"\0")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError) as error:
        return _unknown(name, str(error))
    if not any(word.startswith(f"guest={name},".encode()) for word in words):
        return _unknown(name, f"{file} names another process")
    began_s = int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
    return MachineStart(max(0.0, age_s), started_ns, restored=b"-incoming" in words)


def _unknown(name: str, cause: str) -> Unknown:
    return Unknown(unknown=f"it is not known when the machine {name} was started: {cause}", code=OperationFailed.code)
