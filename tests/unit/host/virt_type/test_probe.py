import json
import subprocess
from pathlib import Path

import pytest

from reconciler.host.virt_type import firmware, probe
from reconciler.host.virt_type.firmware import CODE, EXIT_CODE, MODES
from reconciler.host.virt_type.probe import EMULATOR, KvmVerdict, probe_command, probe_kvm

STARTS = "starts"
ENDS = f"printf rpl; exit {EXIT_CODE}"
ENDS_SLOWLY = f"sleep 0.5; {ENDS}"
HANGS = "exec sleep 60"
NOTHING_TO_COMPARE_WITH = "exit 1"


class Host:
    """A host whose device and emulator are stand-ins; the emulator notes each start and then runs a script."""

    def __init__(self, root: Path) -> None:
        self.state_dir = root / "state"
        self.device = root / "kvm"
        self.device.touch()
        self.device.chmod(0o666)
        self.conf = root / "qemu.conf"
        self.conf.write_text('user = "nobody"\n')
        self.emulator = root / "emulator"
        self._starts = root / STARTS

    def runs(self, *, kvm: str, emulated: str = NOTHING_TO_COMPARE_WITH) -> None:
        self.emulator.write_text(
            f'#!/bin/sh\necho started >> {self._starts}\ncase "$*" in *accel=kvm*) {kvm};; *) {emulated};; esac\n'
        )
        self.emulator.chmod(0o755)

    async def probe(self) -> KvmVerdict:
        return await probe_kvm(self.state_dir, emulator=self.emulator, device=self.device, conf=self.conf)

    @property
    def starts(self) -> int:
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_program_runs_in_all_modes_on_a_real_emulated_cpu(tmp_path: Path) -> None:
    (tmp_path / "firmware").write_bytes(firmware.firmware())
    done = subprocess.run(
        probe_command(EMULATOR, "tcg", tmp_path / "firmware"), check=False, timeout=60, capture_output=True
    )
    assert (done.returncode, done.stdout.decode()) == (EXIT_CODE, "".join(MODES))


def test_the_bytes_of_the_program_are_those_of_its_source(tmp_path: Path) -> None:
    source = Path(firmware.__file__).with_suffix(".S")
    subprocess.run(["as", "--64", "-o", tmp_path / "program.o", source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "program.o", tmp_path / "program"], check=True)
    assert (tmp_path / "program").read_bytes() == CODE


async def test_kvm_is_usable_where_it_is_faster_than_emulation(host: Host) -> None:
    host.runs(kvm=ENDS, emulated=ENDS_SLOWLY)
    verdict = await host.probe()
    assert verdict.usable
    assert verdict.kvm_s is not None
    assert verdict.emulated_s is not None
    assert verdict.kvm_s < verdict.emulated_s
    assert f"{verdict.kvm_s:.2f} s; emulated: {verdict.emulated_s:.2f} s" in verdict.reason


async def test_a_kvm_that_answers_rightly_but_slower_than_emulation_is_not_usable(host: Host) -> None:
    host.runs(kvm=f"sleep 0.4; {ENDS}", emulated=f"sleep 0.25; {ENDS}")
    verdict = await host.probe()
    assert not verdict.usable
    assert verdict.kvm_s is None or verdict.emulated_s is None or verdict.kvm_s > verdict.emulated_s


@pytest.mark.parametrize(
    ("kvm", "told"),
    [
        ("echo 'failed to set MSR 0x10a' >&2; exit 1", "exit code 1 in real mode: failed to set MSR 0x10a"),
        (HANGS, "still in real mode after"),
        (f"printf r; {HANGS}", "still in protected mode after"),
        ("printf rp; exit 0", "exit code 0 in long mode"),
        (f"printf rp; {HANGS}", "still in long mode after"),
    ],
)
async def test_a_kvm_that_does_not_end_the_program_is_not_usable(host: Host, kvm: str, told: str) -> None:
    host.runs(kvm=kvm, emulated=f"sleep 0.2; {ENDS}")
    verdict = await host.probe()
    assert not verdict.usable
    assert verdict.kvm_s is None
    assert verdict.emulated_s is not None
    assert told in verdict.reason


async def test_kvm_is_usable_where_there_is_no_emulation_to_compare_with(host: Host) -> None:
    host.runs(kvm=ENDS, emulated="echo 'invalid accelerator tcg' >&2; exit 1")
    verdict = await host.probe()
    assert verdict.usable
    assert "invalid accelerator tcg" in verdict.reason


async def test_a_verdict_of_an_older_probe_is_not_believed(host: Host) -> None:
    host.runs(kvm=ENDS)
    await host.probe()
    memory = host.state_dir / probe.MEMORY_FILE
    kept = json.loads(memory.read_text())
    for version in ({"version": probe.PROBE_VERSION - 1}, {}):
        memory.write_text(json.dumps({key: value for key, value in kept.items() if key != "version"} | version))
        before = host.starts
        await host.probe()
        assert host.starts == before + 2


async def test_the_verdict_is_remembered(host: Host) -> None:
    host.runs(kvm=ENDS)
    assert await host.probe() == await host.probe()
    assert host.starts == 2


async def test_another_emulator_is_tried_again(host: Host) -> None:
    host.runs(kvm=ENDS)
    await host.probe()
    host.runs(kvm="exit 1")
    assert not (await host.probe()).usable
    assert host.starts == 4


async def test_other_rights_of_the_device_void_the_verdict(host: Host) -> None:
    host.runs(kvm=ENDS)
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
    host.runs(kvm=ENDS)
    await host.probe()
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(probe, "_BOOT_ID", tmp_path / "boot_id")
    await host.probe()
    assert host.starts == 4


@pytest.mark.parametrize("torn", [b"", b'{"boot_id": "x"', b"\xff"])
async def test_a_memory_that_was_torn_is_written_again(host: Host, torn: bytes) -> None:
    host.runs(kvm=ENDS)
    host.state_dir.mkdir()
    (host.state_dir / probe.MEMORY_FILE).write_bytes(torn)
    assert (await host.probe()).usable
    assert (await host.probe()).usable
    assert host.starts == 2


async def test_a_state_directory_that_cannot_be_written_only_costs_the_memory(host: Host) -> None:
    host.runs(kvm=ENDS)
    host.state_dir.touch()
    assert (await host.probe()).usable


async def test_no_device_or_no_emulator_is_not_usable(host: Host) -> None:
    verdict = await host.probe()
    assert verdict == KvmVerdict(usable=False, reason=f"{host.emulator} does not exist")
    host.device.unlink()
    verdict = await host.probe()
    assert verdict == KvmVerdict(usable=False, reason=f"{host.device} does not exist")
