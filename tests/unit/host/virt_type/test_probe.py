import subprocess
from pathlib import Path

import pytest

from reconciler.host.virt_type import probe
from reconciler.host.virt_type.probe import EMULATOR, KvmVerdict, probe_command, probe_firmware, probe_kvm

STARTS = "starts"


class Host:
    """A host whose device and emulator are ours; the emulator notes each start and then runs `script`."""

    def __init__(self, root: Path) -> None:
        self.state_dir = root / "state"
        self.device = root / "kvm"
        self.device.touch()
        self.device.chmod(0o666)
        self.conf = root / "qemu.conf"
        self.conf.write_text('user = "nobody"\n')
        self.emulator = root / "emulator"
        self._starts = root / STARTS

    def emulator_does(self, script: str) -> None:
        self.emulator.write_text(f"#!/bin/sh\necho started >> {self._starts}\n{script}\n")
        self.emulator.chmod(0o755)

    async def probe(self) -> KvmVerdict:
        return await probe_kvm(self.state_dir, emulator=self.emulator, device=self.device, conf=self.conf)

    @property
    def starts(self) -> int:
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_firmware_runs_on_a_real_virtual_cpu(tmp_path: Path) -> None:
    (tmp_path / "firmware").write_bytes(probe_firmware())
    command = [
        {"q35,accel=kvm": "q35,accel=tcg", "host": "max"}.get(word, word)
        for word in probe_command(EMULATOR, tmp_path / "firmware")
    ]
    assert subprocess.run(command, check=False, timeout=60).returncode == 85


async def test_kvm_is_usable_when_a_virtual_cpu_ran_code(host: Host) -> None:
    host.emulator_does("exit 85")
    assert (await host.probe()).usable


async def test_an_emulator_that_ends_without_running_code_says_why_kvm_is_not_usable(host: Host) -> None:
    host.emulator_does("echo 'failed to set MSR 0x10a' >&2; exit 1")
    verdict = await host.probe()
    assert not verdict.usable
    assert "failed to set MSR 0x10a" in verdict.reason


async def test_a_machine_that_hangs_is_not_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PROBE_TIMEOUT_S", 0.2)
    host.emulator_does("exec sleep 60")
    verdict = await host.probe()
    assert not verdict.usable
    assert "ran nothing in 0.2 s" in verdict.reason


async def test_the_verdict_is_remembered(host: Host) -> None:
    host.emulator_does("exit 85")
    assert await host.probe() == await host.probe()
    assert host.starts == 1


async def test_another_emulator_is_tried_again(host: Host) -> None:
    host.emulator_does("exit 85")
    await host.probe()
    host.emulator_does("exit 1")
    assert not (await host.probe()).usable
    assert host.starts == 2


async def test_other_rights_of_the_device_void_the_verdict(host: Host) -> None:
    host.emulator_does("exit 85")
    host.device.chmod(0o600)
    refused = await host.probe()
    assert not refused.usable
    assert "nobody may not open" in refused.reason
    assert host.starts == 0
    host.device.chmod(0o666)
    assert (await host.probe()).usable


async def test_another_boot_of_the_host_voids_the_verdict(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.emulator_does("exit 85")
    await host.probe()
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(probe, "_BOOT_ID", tmp_path / "boot_id")
    await host.probe()
    assert host.starts == 2


@pytest.mark.parametrize("torn", [b"", b'{"boot_id": "x"', b"\xff"])
async def test_a_memory_that_was_torn_is_made_anew(host: Host, torn: bytes) -> None:
    host.emulator_does("exit 85")
    host.state_dir.mkdir()
    (host.state_dir / probe.MEMORY_FILE).write_bytes(torn)
    assert (await host.probe()).usable
    assert (await host.probe()).usable
    assert host.starts == 1


async def test_a_state_directory_that_cannot_be_written_only_costs_the_memory(host: Host) -> None:
    host.emulator_does("exit 85")
    host.state_dir.touch()
    assert (await host.probe()).usable


async def test_no_device_or_no_emulator_is_not_usable(host: Host) -> None:
    verdict = await host.probe()
    assert verdict == KvmVerdict(usable=False, reason=f"{host.emulator} does not exist")
    host.device.unlink()
    verdict = await host.probe()
    assert verdict == KvmVerdict(usable=False, reason=f"{host.device} does not exist")
