import os
import pwd
from pathlib import Path

import pytest

from reconciler.host.virt_type.kvm_access import (
    DeviceRights,
    kvm_access_problem,
    may_open,
    parse_qemu_conf,
    qemu_account,
)
from reconciler.model.account import Account

QEMU = Account("libvirt-qemu", 64055, frozenset({107, 64055}))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "allowed"),
    [
        (0o660, 0, 107, True),
        (0o666, 0, 0, True),
        (0o600, 64055, 0, True),
        (0o600, 0, 0, False),
        (0o660, 0, 0, False),
        (0o640, 0, 107, False),
        (0o606, 0, 107, False),  # the group's bits count for its members, not the others'
        (0o066, 64055, 107, False),
    ],
)
def test_the_first_class_that_fits_decides(mode: int, owner: int, group: int, allowed: bool) -> None:
    assert may_open(DeviceRights(mode, owner, group), QEMU) is allowed


def test_root_may_open_everything() -> None:
    assert may_open(DeviceRights(0, 1, 1), Account("root", 0, frozenset({0})))


def test_only_settings_that_are_not_commented_out_count() -> None:
    text = '#user = "nobody"\n user = "qemu"\n\n# group\ngroup = "+36"\nuser_of_another = "x"\n'
    assert parse_qemu_conf(text) == {"user": "qemu", "group": "36"}


def test_the_configured_user_is_taken_with_its_groups(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.getuid())
    (tmp_path / "qemu.conf").write_text(f'user = "{me.pw_uid}"\ngroup = "12345"\n')
    account = qemu_account(tmp_path / "qemu.conf")
    assert account is not None
    assert (account.name, account.uid) == (me.pw_name, me.pw_uid)
    assert account.gids >= {me.pw_gid, 12345}


def test_no_device_is_no_problem(tmp_path: Path) -> None:
    assert kvm_access_problem(tmp_path / "kvm") is None


def test_a_device_that_qemus_user_cannot_open_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "qemu.conf").write_text('user = "nobody"\n')
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0o600)
    problem = kvm_access_problem(device, tmp_path / "qemu.conf")
    assert problem is not None
    assert "nobody may not open" in problem
    assert "restart libvirtd" in problem
    device.chmod(0o666)
    assert kvm_access_problem(device, tmp_path / "qemu.conf") is None
