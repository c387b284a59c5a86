"""Repairs that a host's own packages would have made; each does nothing if nothing is wrong."""

import asyncio
import grp
import os
import signal
import stat
from collections.abc import Iterable
from pathlib import Path

from reconciler import process
from reconciler.errors import ClusterError, OperationFailed
from reconciler.files.marked_files import ensure_directory
from reconciler.guest.keys import generate_client_key
from reconciler.host.checks.libvirt_daemon import LOCAL_SYSTEM, check_libvirt, systemd_runs
from reconciler.host.checks.required_directories import RequiredDirectory
from reconciler.host.virt_type.kvm_access import KVM_DEVICE
from reconciler.model.examination import CheckOutcome, Repair
from reconciler.programs import find_program

_KVM_GROUP = "kvm"
_KVM_MODE = 0o660
"""As udev sets it: `KERNEL=="kvm", GROUP="kvm", MODE="0660"` in 50-udev-default.rules of systemd."""

_CLOSED_MODE = 0o600
_DAEMON_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 20.0
_END_POLL_S = 0.05
_PID_FILE = "/run/{}.pid"


def kvm_is_closed_by_default(device: Path = KVM_DEVICE) -> bool:
    """Whether the device still has the mode that the kernel created it with, because no udev ran: nobody chose it."""
    try:
        found = device.stat()
    except FileNotFoundError:
        return False
    return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, _CLOSED_MODE) and _kvm_gid() is not None


def open_kvm_to_qemu(device: Path = KVM_DEVICE) -> list[Repair]:
    """Set the owner and mode of the device that the distribution's udev rule would have set."""
    gid = _kvm_gid()
    if gid is None or not kvm_is_closed_by_default(device):
        return []
    try:
        os.chown(device, 0, gid)
        device.chmod(_KVM_MODE)
    except PermissionError as error:
        message = f"{device} is still closed to QEMU's user: {error.strerror}"
        return [Repair(name="kvm access", message=message, done=False)]
    return [Repair(name="kvm access", message=f"{device} is open to group {_KVM_GROUP}, as udev would set it")]


def make_directories(places: Iterable[RequiredDirectory]) -> list[Repair]:
    """Create the missing directories; existing ones keep their mode."""
    repairs = []
    for place in places:
        if place.path.exists():
            continue
        try:
            ensure_directory(place.path, mode=place.mode)
        except ClusterError as error:
            repairs.append(Repair(name="directories", message=error.message, done=False))
        else:
            repairs.append(Repair(name="directories", message=f"created {place.path} with mode {place.mode:04o}"))
    return repairs


def make_ssh_key(path: Path) -> list[Repair]:
    """Create the key for logging in to nodes; an existing one is never replaced."""
    if path.exists() and path.with_name(path.name + ".pub").exists():
        return []
    try:
        generate_client_key(path)
    except (ClusterError, OSError) as error:
        return [Repair(name="ssh key", message=f"cannot create {path}: {error}", done=False)]
    return [Repair(name="ssh key", message=f"created {path}")]


async def start_daemons(uri: str, *, restart: bool = False) -> list[Repair]:
    """Start libvirt if it does not respond; with `restart`, restart a running one so that it examines the host again.

    Running machines survive both. Does nothing for a `uri` other than the local system's.
    """
    answers = any(result.name == "libvirt" and result.verdict is CheckOutcome.OK for result in await check_libvirt(uri))
    if uri != LOCAL_SYSTEM or (answers and not restart):
        return []
    try:
        await (_restart_by_systemd() if systemd_runs() else _restart_by_hand())
    except ClusterError as error:
        return [Repair(name="libvirt", message=f"cannot start it: {error.message}", done=False)]
    return [Repair(name="libvirt", message="restarted, to detect the device" if answers else "started")]


def daemon_pid(name: str) -> int | None:
    """The process of a daemon that writes a PID file, if it runs."""
    try:
        pid = int(Path(_PID_FILE.format(name)).read_text())
        running = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if running == name else None


async def _restart_by_systemd() -> None:
    unit = "libvirtd.service" if find_program("libvirtd") else "virtqemud.service"
    await process.run(["systemctl", "restart", unit], timeout_s=_DAEMON_TIMEOUT_S)


async def _restart_by_hand() -> None:
    if not daemon_pid("virtlogd"):
        await _start_by_hand("virtlogd")
    if pid := daemon_pid("libvirtd"):
        await _end(pid)
    await _start_by_hand("libvirtd")


async def _start_by_hand(name: str) -> None:
    # With -d the call returns once the daemon listens (libvirtd(8), virtlogd(8)).
    await process.run([name, "-d"], timeout_s=_DAEMON_TIMEOUT_S)


async def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    for _ in range(round(_END_TIMEOUT_S / _END_POLL_S)):
        if daemon_pid("libvirtd") != pid:
            return
        await asyncio.sleep(_END_POLL_S)
    raise OperationFailed(f"libvirtd (process {pid}) is still running {_END_TIMEOUT_S:g} s after SIGTERM")


def _kvm_gid() -> int | None:
    try:
        return grp.getgrnam(_KVM_GROUP).gr_gid
    except KeyError:
        return None
