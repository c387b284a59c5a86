"""Times KVM instead of trusting /dev/kvm: a paravirtual or nested KVM may exist and be useless.

Two kinds were seen: one on which QEMU cannot start a CPU at all, and one that emulates each instruction of an ordinary
guest, many times slower than QEMU's own emulator, so that no kernel ever boots. The same program therefore runs under
both, started as libvirt starts it for a node, and KVM counts only if it is faster.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from reconciler import process
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.files.plain import read_plain_file
from reconciler.host.virt_type.firmware import DEBUG_CONSOLE_PORT, EXIT_CODE, EXIT_PORT, INSTRUCTIONS, MODES, firmware
from reconciler.host.virt_type.kvm_access import KVM_DEVICE, QEMU_CONF, device_rights, may_open, qemu_account
from reconciler.model.base import Frozen

log = structlog.get_logger(__name__)

EMULATOR = Path("/usr/bin/qemu-system-x86_64")
MEMORY_FILE = "kvm_probe.json"
PROBE_VERSION = 2
"""Increase it when the probe learns to tell more cases apart: verdicts of older versions are ignored."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_EMULATION_LIMIT_S = 10.0
_KVM_LIMIT_S = 2.0  # if emulation gives nothing to compare with; a true KVM needs a tenth of a second
_PATIENCE = 2.0  # KVM is stopped after this many times the duration of emulation
_ATTEMPTS = 3  # if the two are close, which may happen on a busy host
_CLEAR_LEAD = 2.0


class KvmVerdict(Frozen):
    """Whether domains of type `kvm` are faster here, and the evidence.

    The figures are the seconds that the probe's program took; None if it did not finish.
    """

    usable: bool
    reason: str
    kvm_s: float | None = None
    emulated_s: float | None = None


class _RememberedVerdict(Frozen):
    """A verdict with everything it depends on; it holds for one boot of the host."""

    version: int
    boot_id: str
    device: str
    emulator: str
    emulator_mtime_ns: int
    qemu_user: str
    verdict: KvmVerdict


@dataclass(frozen=True, slots=True)
class _Trial:
    """One run of the program: its duration, or why it has none."""

    duration_s: float | None
    failure: str = ""


async def probe_kvm(
    state_dir: Path | None = None,
    *,
    emulator: Path = EMULATOR,
    device: Path = KVM_DEVICE,
    conf: Path = QEMU_CONF,
) -> KvmVerdict:
    """Whether KVM works well for QEMU's user; takes about 1 s once per boot of the host, then under 1 ms.

    The verdict is remembered in `state_dir`; a change of the device's rights or of the emulator invalidates it.
    """
    try:
        circumstances = _circumstances(emulator, device, conf)
    except FileNotFoundError as error:
        return KvmVerdict(usable=False, reason=f"{error.filename} does not exist")
    memory = state_dir / MEMORY_FILE if state_dir else None
    remembered = _recall(memory)
    if remembered and remembered.model_copy(update={"verdict": circumstances.verdict}) == circumstances:
        return remembered.verdict
    verdict = _refusal(device, conf) or await _compare(emulator, device)
    log.info("kvm_probed", **verdict.model_dump())
    _remember(memory, circumstances.model_copy(update={"verdict": verdict}))
    return verdict


def probe_command(emulator: Path, accelerator: str, program: Path) -> list[str]:
    """The command that runs `program` with the CPU that nodes get by default, and ends with its exit code."""
    cpu = "host" if accelerator == "kvm" else "max"
    return [
        str(emulator),
        *("-machine", f"q35,accel={accelerator}", "-cpu", cpu, "-m", "16"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-bios", str(program)),
        *("-chardev", "stdio,id=marks", "-device", f"isa-debugcon,iobase={DEBUG_CONSOLE_PORT:#x},chardev=marks"),
        *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"),
    ]


def _circumstances(emulator: Path, device: Path, conf: Path) -> _RememberedVerdict:
    account = qemu_account(conf)
    return _RememberedVerdict(
        version=PROBE_VERSION,
        boot_id=_BOOT_ID.read_text().strip(),
        device=f"{device}: {device_rights(device)}",
        emulator=str(emulator),
        emulator_mtime_ns=emulator.stat().st_mtime_ns,
        qemu_user=f"{account.name} {sorted(account.gids)} seen by {os.geteuid()}" if account else "",
        verdict=KvmVerdict(usable=False, reason="not tried"),
    )


def _refusal(device: Path, conf: Path) -> KvmVerdict | None:
    rights, account = device_rights(device), qemu_account(conf)
    if account is not None and not may_open(rights, account):
        return KvmVerdict(
            usable=False,
            reason=f"QEMU's user {account.name} may not open {device} ({rights}); `chgrp kvm {device}` and "
            f"`chmod 0660 {device}`, then restart libvirtd",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return KvmVerdict(
            usable=False, reason=f"this user may not open {device} to try it ({rights}); join the group that may"
        )
    return None


async def _compare(emulator: Path, device: Path) -> KvmVerdict:
    program = os.memfd_create("vmcluster-kvm-probe", os.MFD_CLOEXEC)
    try:
        os.write(program, firmware())
        path = Path(f"/proc/{os.getpid()}/fd/{program}")
        return _verdict(*await _time_both(emulator, path), device)
    finally:
        os.close(program)


async def _time_both(emulator: Path, program: Path) -> tuple[_Trial, _Trial]:
    """The best run under KVM and the best under emulation; one run of each, unless they are close."""
    kvm = emulated = _Trial(None)
    for _ in range(_ATTEMPTS):
        emulated = _better(emulated, await _try(probe_command(emulator, "tcg", program), _EMULATION_LIMIT_S))
        limit_s = _KVM_LIMIT_S if emulated.duration_s is None else _PATIENCE * emulated.duration_s
        kvm = _better(kvm, await _try(probe_command(emulator, "kvm", program), limit_s))
        if kvm.duration_s is None or emulated.duration_s is None:
            break
        if not 1 / _CLEAR_LEAD < kvm.duration_s / emulated.duration_s < _CLEAR_LEAD:
            break
    return kvm, emulated


def _better(one: _Trial, other: _Trial) -> _Trial:
    if one.duration_s is None or other.duration_s is None:
        return one if other.duration_s is None and one.duration_s is not None else other
    return one if one.duration_s <= other.duration_s else other


async def _try(command: list[str], limit_s: float) -> _Trial:
    marks = bytearray()
    began = time.monotonic()
    try:
        done = await process.run(command, timeout_s=limit_s, check=False, on_stdout=marks.extend)
    except HostCommandFailed:
        return _Trial(None, f"still in {_mode(marks)} mode after {limit_s:.2g} s")
    except HostCapabilityMissing as error:
        return _Trial(None, str(error))
    if done.exit_code == EXIT_CODE:
        return _Trial(time.monotonic() - began)
    complaint = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    told = f": {complaint}" if complaint else ""
    return _Trial(None, f"exit code {done.exit_code} in {_mode(marks)} mode{told}")


def _mode(marks: bytearray) -> str:
    """The mode that the program was in after it had printed `marks`."""
    ended = marks.decode(errors="replace")
    return next((mode for letter, mode in MODES.items() if letter not in ended), list(MODES.values())[-1])


def _verdict(kvm: _Trial, emulated: _Trial, device: Path) -> KvmVerdict:
    faster = kvm.duration_s is not None and (emulated.duration_s is None or kvm.duration_s < emulated.duration_s)
    return KvmVerdict(
        usable=faster,
        reason=f"{INSTRUCTIONS // 10**6} million instructions with {device}: {_told(kvm)}; emulated: {_told(emulated)}",
        kvm_s=kvm.duration_s,
        emulated_s=emulated.duration_s,
    )


def _told(trial: _Trial) -> str:
    return trial.failure if trial.duration_s is None else f"{trial.duration_s:.2f} s"


def _recall(memory: Path | None) -> _RememberedVerdict | None:
    try:
        return _RememberedVerdict.model_validate_json(read_plain_file(memory)) if memory else None
    except (OSError, ValidationError):  # missing, torn by a kill, or from an older probe: try again
        return None


def _remember(memory: Path | None, remembered: _RememberedVerdict) -> None:
    if memory is None:
        return
    try:
        memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        memory.write_text(remembered.model_dump_json())
    except OSError as error:
        log.warning("kvm_verdict_not_remembered", path=str(memory), cause=error.strerror)
