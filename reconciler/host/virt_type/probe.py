"""Try KVM instead of believing in /dev/kvm: a paravirtual or nested KVM can be there and run nothing.

The emulator is started as libvirt starts it for us, with the host's CPU model, on a firmware of six
instructions that switches the machine off by `isa-debug-exit`. Only a virtual CPU that really executes code
gives that exit code.
"""

import os
from pathlib import Path

import structlog
from pydantic import ValidationError

from reconciler import process
from reconciler.errors import HostCapabilityMissing, HostCommandFailed
from reconciler.host.virt_type.access import KVM_DEVICE, QEMU_CONF, device_rights, may_open, qemu_account
from reconciler.model.base import Frozen

log = structlog.get_logger(__name__)

EMULATOR = Path("/usr/bin/qemu-system-x86_64")
MEMORY_FILE = "kvm_probe.json"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROBE_TIMEOUT_S = 5.0

_EXIT_PORT = 0xF4
_EXIT_VALUE = 0x2A
_EXPECTED_EXIT_CODE = _EXIT_VALUE << 1 | 1  # hw/misc/debugexit.c
_FIRMWARE_BYTES = 1 << 16
_RESET_VECTOR = 0xFFF0


class KvmVerdict(Frozen):
    """Whether domains of type `kvm` run here, and why that is known, with the remedy where they do not."""

    usable: bool
    reason: str


class _Remembered(Frozen):
    """A verdict with everything it depends on; it holds for one boot of the host."""

    boot_id: str
    device: str
    emulator: str
    emulator_mtime_ns: int
    qemu_user: str
    verdict: KvmVerdict


async def probe_kvm(
    state_dir: Path | None = None,
    *,
    emulator: Path = EMULATOR,
    device: Path = KVM_DEVICE,
    conf: Path = QEMU_CONF,
) -> KvmVerdict:
    """Whether KVM works for QEMU's user; takes up to 5 s once per boot of the host, then under 1 ms.

    The verdict is remembered in `state_dir`; a change of the device's rights or of the emulator voids it.
    """
    try:
        circumstances = _circumstances(emulator, device, conf)
    except FileNotFoundError as error:
        return KvmVerdict(usable=False, reason=f"{error.filename} does not exist")
    memory = state_dir / MEMORY_FILE if state_dir else None
    remembered = _recall(memory)
    if remembered and remembered.model_copy(update={"verdict": circumstances.verdict}) == circumstances:
        return remembered.verdict
    verdict = _refusal(device, conf) or await _try(emulator, device)
    log.info("kvm_probed", usable=verdict.usable, reason=verdict.reason)
    _remember(memory, circumstances.model_copy(update={"verdict": verdict}))
    return verdict


def probe_command(emulator: Path, firmware: Path) -> list[str]:
    """The command that runs `firmware` under KVM and ends with its exit code."""
    return [
        str(emulator),
        *("-machine", "q35,accel=kvm", "-cpu", "host", "-m", "16"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-bios", str(firmware), "-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1"),
    ]


def probe_firmware() -> bytes:
    """64 KiB whose reset vector says: `mov al, value; out port, al; cli; hlt; jmp back` (x86 real mode)."""
    code = bytes([0xB0, _EXIT_VALUE, 0xE6, _EXIT_PORT, 0xFA, 0xF4, 0xEB, 0xFD])
    return bytes(_RESET_VECTOR) + code.ljust(_FIRMWARE_BYTES - _RESET_VECTOR, b"\0")


def _circumstances(emulator: Path, device: Path, conf: Path) -> _Remembered:
    account = qemu_account(conf)
    return _Remembered(
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


async def _try(emulator: Path, device: Path) -> KvmVerdict:
    firmware = os.memfd_create("vmcluster-kvm-probe", os.MFD_CLOEXEC)
    try:
        os.write(firmware, probe_firmware())
        command = probe_command(emulator, Path(f"/proc/{os.getpid()}/fd/{firmware}"))
        done = await process.run(command, timeout_s=_PROBE_TIMEOUT_S, check=False)
    except HostCommandFailed:
        return KvmVerdict(usable=False, reason=f"a virtual CPU under {device} ran nothing in {_PROBE_TIMEOUT_S:g} s")
    except HostCapabilityMissing as error:
        return KvmVerdict(usable=False, reason=str(error))
    finally:
        os.close(firmware)
    if done.exit_code == _EXPECTED_EXIT_CODE:
        return KvmVerdict(usable=True, reason=f"a virtual CPU with the host's model ran code under {device}")
    complaint = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    return KvmVerdict(
        usable=False, reason=f"{emulator.name} ends with {done.exit_code} under {device} with `-cpu host`: {complaint}"
    )


def _recall(memory: Path | None) -> _Remembered | None:
    try:
        return _Remembered.model_validate_json(memory.read_bytes()) if memory else None
    except (OSError, ValidationError):  # absent, or torn by a kill: try again
        return None


def _remember(memory: Path | None, remembered: _Remembered) -> None:
    if memory is None:
        return
    try:
        memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        memory.write_text(remembered.model_dump_json())
    except OSError as error:
        log.warning("kvm_verdict_not_remembered", path=str(memory), cause=error.strerror)
