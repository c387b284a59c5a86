import os
from pathlib import Path

import pytest

from reconciler.host.checks import libvirt_daemon
from reconciler.host.checks.libvirt_daemon import (
    LOCAL_SYSTEM,
    check_consoles,
    check_libvirt,
    check_version,
    diagnose,
    systemd_runs,
)
from reconciler.model.examination import CheckOutcome


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where libvirt would listen; nothing does."""
    path = tmp_path / "libvirt-sock"
    monkeypatch.setattr(libvirt_daemon, "SOCKETS", (path,))
    return path


@pytest.mark.usefixtures("socket")
def test_a_daemon_that_does_not_run_can_be_started() -> None:
    result = diagnose(LOCAL_SYSTEM, "connection refused")
    assert (result.verdict, result.fixable) == (CheckOutcome.FAILED, True)


@pytest.mark.usefixtures("socket")
def test_a_host_without_libvirt_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt_daemon, "find_program", lambda _name: None)
    result = diagnose(LOCAL_SYSTEM, "no such file")
    assert "libvirt-daemon-system" in str(result.remedy)
    assert not result.fixable


def test_a_user_without_rights_on_the_socket_is_told_the_group(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket.touch()
    may = os.access
    # Root may always ask, so its answer for this one file is put in its place.
    monkeypatch.setattr(
        "os.access", lambda path, mode, **how: mode == os.F_OK if path == socket else may(path, mode, **how)
    )
    assert "usermod -aG libvirt" in str(diagnose(LOCAL_SYSTEM, "permission denied").remedy)


async def test_a_daemon_elsewhere_is_not_ours_to_start() -> None:
    (result,) = await check_libvirt("qemu+unix:///system?socket=/nonexistent")
    assert (result.verdict, result.fixable) == (CheckOutcome.FAILED, False)


@pytest.mark.parametrize(
    ("number", "verdict", "words"),
    [
        (9_000_000, CheckOutcome.OK, "9.0.0"),
        (8_000_000, CheckOutcome.OK, "8.0.0"),
        (7_010_002, CheckOutcome.FAILED, "7.10.2"),
    ],
)
def test_versions_are_compared_as_numbers(number: int, verdict: CheckOutcome, words: str) -> None:
    result = check_version(number)
    assert (result.verdict, result.message) == (verdict, words)


def test_systemd_runs_where_its_directory_is(tmp_path: Path) -> None:
    assert systemd_runs(tmp_path)
    assert not systemd_runs(tmp_path / "system")


@pytest.mark.parametrize(
    ("qemu", "virtlogd", "verdict", "words"),
    [
        (None, None, CheckOutcome.OK, "8 MiB"),
        ('#stdio_handler = "file"\n', "max_size = 1048576\nmax_backups = 1\n", CheckOutcome.OK, "2 MiB"),
        ('stdio_handler = "file"\n', None, CheckOutcome.WARNING, 'stdio_handler = "file"'),
        ('stdio_handler = "logd"\n', " max_size=0\n", CheckOutcome.WARNING, "max_size = 0"),
    ],
)
def test_a_console_that_nobody_rotates_is_a_warning(
    tmp_path: Path, qemu: str | None, virtlogd: str | None, verdict: CheckOutcome, words: str
) -> None:
    for name, text in (("qemu.conf", qemu), ("virtlogd.conf", virtlogd)):
        if text is not None:
            (tmp_path / name).write_text(text)
    found = check_consoles(64, tmp_path)
    assert found.verdict is verdict
    assert words in found.message
