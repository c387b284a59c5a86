"""Reads whether a machine runs, and why not: libvirt's state and reason or, if they are missing, QEMU's own words.

libvirt has no reason for an internal error (libvirt, `src/qemu/qemu_monitor.c`, `qemuMonitorVMStatusToPausedReason`: it
is `unknown`, as for a debugger), so QEMU is asked. If its log already says why, and nobody has used its monitor yet, it
is not asked, because libvirt would note that in the log.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.qemu_log import QemuWords, parse_last_run
from reconciler.model.document import Halt, HaltReason, PowerState, Unknown

QEMU_LOGS = Path("/var/log/libvirt/qemu")
LOG_LIMIT_BYTES = 64 * 1024
"""Several times as much as a start, or the registers of many CPUs, print."""

POWER_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.OFF,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
}

_PAUSED: dict[int, HaltReason] = {
    libvirt.VIR_DOMAIN_PAUSED_USER: HaltReason.USER,
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: HaltReason.JOB,
    libvirt.VIR_DOMAIN_PAUSED_SAVE: HaltReason.JOB,
    libvirt.VIR_DOMAIN_PAUSED_DUMP: HaltReason.JOB,
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: HaltReason.IO_ERROR,
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: HaltReason.WATCHDOG,
    libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: HaltReason.USER,
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: HaltReason.JOB,
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: HaltReason.PANIC,
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: HaltReason.STARTING,
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: HaltReason.JOB,
    libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: HaltReason.JOB_FAILED,
    getattr(libvirt, "VIR_DOMAIN_PAUSED_API_ERROR", 14): HaltReason.JOB_FAILED,
}

_OFF: dict[int, HaltReason] = {
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: HaltReason.QEMU_ENDED,
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: HaltReason.QEMU_ENDED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: HaltReason.START_FAILED,
}

_RUN_STATES: dict[str, HaltReason] = {
    "internal-error": HaltReason.INTERNAL_ERROR,
    "io-error": HaltReason.IO_ERROR,
    "guest-panicked": HaltReason.PANIC,
    "watchdog": HaltReason.WATCHDOG,
    "suspended": HaltReason.SUSPENDED,
    "debug": HaltReason.DEBUGGER,
    "paused": HaltReason.USER,  # by someone who used QEMU's monitor directly
    "prelaunch": HaltReason.USER,
    "inmigrate": HaltReason.JOB,
    "postmigrate": HaltReason.JOB,
    "finish-migrate": HaltReason.JOB,
    "save-vm": HaltReason.JOB,
    "restore-vm": HaltReason.JOB,
}
"""QEMU's RunState (qapi/run-state.json) of a machine whose CPUs are stopped."""

_STATE_OF = {
    HaltReason.INTERNAL_ERROR: PowerState.CRASHED,
    HaltReason.PANIC: PowerState.CRASHED,
    HaltReason.IO_ERROR: PowerState.BLOCKED,
}

STATUS_FILES = Path("/run/libvirt/qemu")
"""Where libvirtd keeps what it must know after its own restart (qemu_conf.c, stateDir)."""

_DISK_ERRORS = {
    libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC: "an I/O error",
    libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE: "no space left",
}


def read_power(domain: Any, state: int, reason: int) -> tuple[PowerState, Halt | Unknown | None]:
    """The power state for a libvirt state; raises `OperationFailed` for an unknown one.

    Without a halt the machine runs, is shutting down, or was turned off on purpose.
    """
    if state not in POWER_STATES:
        raise OperationFailed(f"libvirt reports the unknown domain state {state}")
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
        return PowerState.STOPPING, None
    halt = _halt(domain, state, reason)
    if isinstance(halt, Halt) and state != libvirt.VIR_DOMAIN_SHUTOFF:
        halt = halt.model_copy(update={"since": halt.since or _changed_at(domain.name())})
        return _STATE_OF.get(halt.reason, POWER_STATES[state]), halt
    return POWER_STATES[state], halt


def _changed_at(name: str, directory: Path = STATUS_FILES) -> datetime | None:
    """When libvirt last recorded a change of a domain, as it does when its CPUs stop; None if that cannot be seen."""
    try:
        return datetime.fromtimestamp((directory / f"{name}.xml").stat().st_mtime, UTC).replace(microsecond=0)
    except OSError:
        return None


def _halt(domain: Any, state: int, reason: int) -> Halt | Unknown | None:
    match state:
        case libvirt.VIR_DOMAIN_PAUSED:
            return _halt_of_paused(domain, reason)
        case libvirt.VIR_DOMAIN_PMSUSPENDED:
            return Halt(reason=HaltReason.SUSPENDED)
        case libvirt.VIR_DOMAIN_CRASHED:
            return Halt(reason=HaltReason.PANIC)
        case libvirt.VIR_DOMAIN_SHUTOFF if reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN:
            return Halt(reason=HaltReason.SHUT_DOWN)
        case libvirt.VIR_DOMAIN_SHUTOFF if reason in _OFF:
            return _with_words(_OFF[reason], read_words(domain.name()))
        case _:
            return None


def _halt_of_paused(domain: Any, reason: int) -> Halt | Unknown:
    known = _PAUSED.get(reason)
    if known is HaltReason.IO_ERROR:
        return Halt(reason=known, disks=_disk_errors(domain))
    return _halt_by_qemu(domain) if known is None else Halt(reason=known)


def _halt_by_qemu(domain: Any) -> Halt | Unknown:
    """Why the machine stopped without libvirt's knowledge."""
    words = read_words(domain.name())
    if isinstance(words, QemuWords) and words.stops and not words.talked_to:
        return _with_words(HaltReason.INTERNAL_ERROR, words)
    try:
        answer = libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": "query-status"}), 0)
        reason = _RUN_STATES.get(json.loads(answer)["return"]["status"], HaltReason.UNTOLD)
    except libvirt.libvirtError as error:
        return Unknown(unknown=f"QEMU did not say why: {error}", code=OperationFailed.code)
    return _with_words(reason, words) if reason is HaltReason.INTERNAL_ERROR else Halt(reason=reason)


def _with_words(reason: HaltReason, words: QemuWords | Unknown) -> Halt:
    if isinstance(words, Unknown):
        return Halt(reason=reason, words=words)
    return Halt(reason=reason, words=words.text, since=words.at)


def _disk_errors(domain: Any) -> dict[str, str]:
    """The disks for which QEMU reports an error, by target; none if libvirt cannot tell now."""
    try:
        errors: Mapping[str, int] = domain.diskErrors()
    except libvirt.libvirtError:
        return {}
    return {target: _DISK_ERRORS[error] for target, error in errors.items() if error in _DISK_ERRORS}


def read_words(name: str, directory: Path = QEMU_LOGS) -> QemuWords | Unknown:
    """The last words in the log of a domain's QEMU; unknown if it cannot be read (by default only root may)."""
    path = directory / f"{name}.log"
    try:
        with path.open("rb") as log:
            status = os.fstat(log.fileno())
            if status.st_size > LOG_LIMIT_BYTES:
                log.seek(status.st_size - LOG_LIMIT_BYTES)
                log.readline(LOG_LIMIT_BYTES)
            content = log.read(LOG_LIMIT_BYTES)
    except OSError as error:
        return Unknown(unknown=f"QEMU's log {path} cannot be read: {error.strerror}", code=OperationFailed.code)
    return parse_last_run(content, datetime.fromtimestamp(status.st_mtime, UTC))
