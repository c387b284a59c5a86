"""What a lab could leave behind, seen from where the test runs: in another lab, or on the host itself."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOKEN = "VMCLUSTER_TEST_TOKEN"
"""An environment variable that every process of a lab inherits, daemons too; guests have its value in their name."""

_TREES = ("/etc/libvirt", "/etc/vmcluster", "/var/cache/libvirt", "/var/lib/libvirt", "/var/lib/vmcluster")
_PLACES = ("/run", "/etc", "/var/lib", "/var/log/libvirt", "/tmp")
_MARKS = ("libvirt", "qemu", "vmcluster")


@dataclass(frozen=True, slots=True)
class Traces:
    """Mount points, interfaces, files and control groups; equal before and after a lab."""

    mounts: frozenset[str]
    interfaces: frozenset[str]
    files: frozenset[str]
    control_groups: frozenset[str]


def observe_traces() -> Traces:
    """The current traces."""
    return Traces(
        mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        interfaces=frozenset(subprocess.check_output(["ip", "-brief", "link"], text=True).splitlines()),
        files=frozenset(_files()),
        control_groups=frozenset(_marked_below("/sys/fs/cgroup")),
    )


def processes_with(token: str) -> list[str]:
    """The command lines of all living processes with `token` in their environment or command line.

    libvirt gives QEMU an environment of its own, so a guest has the token in its name.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has just ended, or is protected even from root and so is not ours
        if token.encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def _files() -> list[str]:
    listed = [str(path) for place in _TREES for path in Path(place).rglob("*")]
    return listed + [str(path) for place in _PLACES for path in Path(place).glob("*") if _marked(path.name)]


def _marked_below(place: str) -> list[str]:
    return [str(Path(parent) / name) for parent, names, _ in os.walk(place) for name in names if _marked(name)]


def _marked(name: str) -> bool:
    return any(mark in name for mark in _MARKS)
