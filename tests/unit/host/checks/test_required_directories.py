import os
import pwd
from pathlib import Path

import pytest

from reconciler.host.checks import required_directories
from reconciler.host.checks.required_directories import RequiredDirectory, check_image, check_places, check_ssh_key
from reconciler.model.account import Account
from reconciler.model.examination import CheckOutcome


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> Account:
    """QEMU's user is nobody, who owns nothing and is in no group of the tester."""
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, frozenset({nobody.pw_gid}))
    monkeypatch.setattr(required_directories, "qemu_account", lambda: account)
    return account


def test_a_missing_directory_fails_and_can_be_made(tmp_path: Path) -> None:
    (result,) = check_places([RequiredDirectory(tmp_path / "overlays", 0o755)])
    assert (result.verdict, result.fixable) == (CheckOutcome.FAILED, True)
    assert f"install -d -m 0755 {tmp_path}/overlays" in str(result.remedy)


def test_a_file_in_place_of_a_directory_is_left_to_its_owner(tmp_path: Path) -> None:
    (tmp_path / "overlays").touch()
    (result,) = check_places([RequiredDirectory(tmp_path / "overlays", 0o755)])
    assert (result.verdict, result.fixable) == (CheckOutcome.FAILED, False)


def test_directories_that_are_all_right_are_one_line(tmp_path: Path) -> None:
    (result,) = check_places([RequiredDirectory(tmp_path, 0o755), RequiredDirectory(tmp_path, 0o700)])
    assert result.verdict is CheckOutcome.OK


@pytest.mark.usefixtures("qemu")
def test_the_directory_that_keeps_qemu_out_is_named(tmp_path: Path) -> None:
    open_to_all = tmp_path / "private" / "overlays"
    open_to_all.mkdir(parents=True)
    for directory in (path for path in (tmp_path, *tmp_path.parents) if path.stat().st_uid == os.getuid()):
        if directory.stat().st_mode & 0o111 != 0o111:
            directory.chmod(0o755)  # pytest makes its own 0700
    (tmp_path / "private").chmod(0o700)
    (result,) = check_places([RequiredDirectory(open_to_all, 0o755, for_machines=True)])
    assert result.verdict is CheckOutcome.WARNING
    assert f"cannot enter {tmp_path}/private," in result.message


def test_looking_leaves_no_file_behind(tmp_path: Path) -> None:
    check_places([RequiredDirectory(tmp_path, 0o755, for_machines=True)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "verdict"), [(0o600, CheckOutcome.OK), (0o640, CheckOutcome.FAILED), (0o604, CheckOutcome.FAILED)]
)
def test_a_key_that_others_can_read_is_refused_as_ssh_does(tmp_path: Path, mode: int, verdict: CheckOutcome) -> None:
    key = tmp_path / "key"
    key.touch()
    key.chmod(mode)
    assert check_ssh_key(key).verdict is verdict


def test_a_missing_key_can_be_made(tmp_path: Path) -> None:
    assert check_ssh_key(tmp_path / "key").fixable


def test_a_missing_image_is_only_a_warning(tmp_path: Path) -> None:
    assert check_image(tmp_path / "base.qcow2").verdict is CheckOutcome.WARNING


def test_an_image_of_another_name_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "debian-12.qcow2").touch()
    found = check_image(tmp_path / "base.qcow2")
    assert (found.verdict, found.message) == (CheckOutcome.OK, f"debian-12 in {tmp_path}")
