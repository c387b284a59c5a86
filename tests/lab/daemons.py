"""The lab's own libvirt daemons: configuration, start, stop, readiness.

Tests inside a lab use `stop_libvirtd` and `start_libvirtd` to see the product without its daemon.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

QEMU_CONF = """\
# No control groups: the host's would keep a folder per guest after a lab was killed.
cgroup_controllers = []
# AppArmor and SELinux confine by the host's policy, which knows nothing of a lab's paths. A libvirtd that is
# itself confined (Ubuntu's profile goes by path, so it holds in here too) may still start QEMU unconfined.
security_driver = "none"
"""

LIBVIRTD_CONF = """\
# Only root is in here, and there is no polkit to ask.
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
"""

_CONFIGURATION_DIR = Path("/etc/libvirt")
_STATUS_DIR = Path("/run/libvirt/qemu")
_LOST_START = "<domstatus state='paused' reason='starting up' pid='0'>"
_LIBVIRTD_PID_FILE = Path("/run/libvirtd.pid")
_LIBVIRTD_LOG = Path("/var/log/libvirt/libvirtd.log")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 90.0
"""libvirtd gives calls that are at work 30 s to end before it ends without them (virnetdaemon.c, finishTimer)."""
_LOG_TAIL_LINES = 20

# The first look-up of an emulator's capabilities starts QEMU a few times; better here than in somebody's measurement.
_FIRST_QUESTION = """
import libvirt
connection = libvirt.open("qemu:///system")
connection.getDomainCapabilities(None, None, None, "qemu")
"""


class DaemonFailed(Exception):
    """A daemon did not start or did not answer; the message carries the end of its log."""


def write_configuration() -> None:
    """libvirt's configuration files, before any daemon starts."""
    (_CONFIGURATION_DIR / "qemu.conf").write_text(QEMU_CONF)
    (_CONFIGURATION_DIR / "libvirtd.conf").write_text(LIBVIRTD_CONF)


def start_daemons() -> None:
    """Start virtlogd and libvirtd; on return libvirt answers and knows its emulator."""
    _run_daemon("virtlogd")
    start_libvirtd()


def start_libvirtd() -> None:
    """Start libvirtd; on return it answers. Raises `DaemonFailed`."""
    _run_daemon("libvirtd")
    _run("libvirtd", [sys.executable, "-c", _FIRST_QUESTION])


def stop_libvirtd(number: signal.Signals = signal.SIGTERM) -> None:
    """End libvirtd with a signal and wait until it is gone; running domains are not affected."""
    pid = int(_LIBVIRTD_PID_FILE.read_text())
    os.kill(pid, number)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise DaemonFailed(f"libvirtd still runs {_STOP_TIMEOUT_S:g} s after {number.name}")
        time.sleep(0.01)


def forget_lost_starts() -> list[str]:
    """While libvirtd is down, forget the machines that it was starting when it was killed; returns their names.

    It records that a machine starts before QEMU has a process ID. Killed just then (libvirt 9.0), it takes the machine
    for one that is still starting, forever.
    """
    lost = [file for file in _STATUS_DIR.glob("*.xml") if _LOST_START in file.read_text(errors="replace")]
    for file in lost:
        file.unlink()
    return sorted(file.stem for file in lost)


def _run_daemon(name: str) -> None:
    # With -d the call returns once the daemon has opened its sockets (libvirtd(8), virtlogd(8)).
    _run(name, [name, "-d"])


def _run(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=_START_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DaemonFailed(f"{name}: no answer after {_START_TIMEOUT_S:g} s\n{_log_tail()}") from None
    if done.returncode != 0:
        raise DaemonFailed(f"{name}: exit code {done.returncode}\n{done.stderr}{_log_tail()}")


def _log_tail() -> str:
    if not _LIBVIRTD_LOG.exists():
        return ""
    return "\n".join(_LIBVIRTD_LOG.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
