"""The doctor on the lab's own host: its libvirt, its /dev/kvm, its empty directories."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.examination import CheckOutcome, CheckResult
from reconciler.settings import Settings
from reconciler.usecases.doctor import apply_fixes, run_checks
from tests.integration.bed import Bed
from tests.lab.daemons import start_libvirtd, stop_libvirtd

KVM = Path("/dev/kvm")


@pytest.fixture
def no_libvirtd(bed: Bed) -> Iterator[None]:
    """libvirtd is down; it is up again after the test, before the bed is swept."""
    stop_libvirtd()
    yield
    start_libvirtd()


@pytest.fixture
def closed_kvm() -> Iterator[None]:
    """The lab's /dev/kvm as the kernel makes it; its rights are given back after the test."""
    if not KVM.exists():
        pytest.skip("this machine has no /dev/kvm")
    before = KVM.stat()
    _give(0, 0o600)
    yield
    _give(before.st_gid, stat.S_IMODE(before.st_mode))


async def test_a_bare_host_is_ready_after_one_fix_and_has_nothing_to_fix_then(lab_path: Path) -> None:
    settings = _settings_below(lab_path)
    assert any(each.fixable for each in await run_checks(settings))
    repairs = await apply_fixes(settings)
    assert repairs
    assert all(repair.done for repair in repairs)
    assert not [each for each in await run_checks(settings) if each.verdict is CheckOutcome.FAILED]
    assert await apply_fixes(settings) == []


async def test_what_holds_secrets_is_closed_to_others(lab_path: Path) -> None:
    settings = _settings_below(lab_path)
    await apply_fixes(settings)
    assert _mode(settings.state_dir) == _mode(settings.ssh_key_path.parent) == 0o700
    assert _mode(settings.ssh_key_path) == 0o600
    assert _mode(settings.overlay_dir) == 0o755


@pytest.mark.usefixtures("no_libvirtd")
async def test_a_libvirtd_that_is_down_is_noticed_and_looking_does_not_start_it(bed: Bed) -> None:
    for _ in range(2):
        libvirt = _named("libvirt", await run_checks(bed.settings))
        assert (libvirt.verdict, libvirt.fixable) == (CheckOutcome.FAILED, True)


async def test_a_libvirtd_that_is_down_is_started(bed: Bed) -> None:
    stop_libvirtd()
    await apply_fixes(bed.settings)
    assert _named("libvirt", await run_checks(bed.settings)).verdict is CheckOutcome.OK


@pytest.mark.usefixtures("closed_kvm")
async def test_a_device_as_the_kernel_makes_it_is_opened_as_udev_would(bed: Bed) -> None:
    assert _named("kvm access", await run_checks(bed.settings)).fixable
    await apply_fixes(bed.settings)
    assert (_mode(KVM), KVM.group()) == (0o660, "kvm")  # noqa: ASYNC240  one stat(2)
    assert _named("kvm access", await run_checks(bed.settings)).verdict is CheckOutcome.OK


@pytest.mark.usefixtures("closed_kvm")
async def test_rights_that_somebody_chose_are_left_alone(bed: Bed) -> None:
    _give(0, 0o400)
    assert not _named("kvm access", await run_checks(bed.settings)).fixable
    await apply_fixes(bed.settings)
    assert _mode(KVM) == 0o400


def _settings_below(directory: Path) -> Settings:
    return Settings(
        topology_dir=directory / "etc" / "topologies",
        overlay_dir=directory / "overlays",
        artifact_registry=directory / "artifacts" / "registry.json",
        artifact_store_dir=directory / "artifacts" / "trees",
        fault_registry=directory / "faults" / "registry.json",
        ssh_key_path=directory / "etc" / "ssh" / "key",
        state_dir=directory / "state",
    )


def _named(name: str, results: list[CheckResult]) -> CheckResult:
    return next(each for each in results if each.name == name)


def _give(gid: int, mode: int) -> None:
    os.chown(KVM, 0, gid)
    KVM.chmod(mode)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
