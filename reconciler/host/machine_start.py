"""When a machine was started, from the process that libvirt names (proc(5)).

libvirt writes the process number to a file at each start, also when the machine resumes from memory, and anyone may
read both. That file's time is on the same clock as the times of everything the machine writes later, so the two can be
compared however the clock was set meanwhile; how long ago the start was comes from a clock that nobody sets.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.model.document import Unknown

PID_FILES = Path("/run/libvirt/qemu")
_PROCESSES = Path("/proc")
_START_FIELD = 22 - 3  # in stat, after the program's name, which ends with the last parenthesis


@dataclass(frozen=True, slots=True)
class MachineStart:
    """A machine's current process; `restored` says that it began from memory, without a boot."""

    age_s: float
    started_ns: int
    restored: bool


def read_machine_start(name: str, pid_files: Path = PID_FILES) -> MachineStart | Unknown:
    """The start of the domain's current process; unknown if there is none, or it cannot be read."""
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
