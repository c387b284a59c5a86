"""Whether the user that libvirt runs QEMU as may open /dev/kvm."""

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.account import Account

KVM_DEVICE = Path("/dev/kvm")
QEMU_CONF = Path("/etc/libvirt/qemu.conf")

_PACKAGED_USERS = ("libvirt-qemu", "qemu")  # Debian and Ubuntu; Fedora, SUSE and Arch
_SETTING = re.compile(r'^\s*(user|group)\s*=\s*"([^"]*)"', re.MULTILINE)
_READ_WRITE = 0o6


@dataclass(frozen=True, slots=True)
class DeviceRights:
    """Who may open a device: permission bits, owner and group."""

    mode: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"mode {self.mode:04o}, owner {self.uid}, group {self.gid}"


def kvm_access_problem(device: Path = KVM_DEVICE, conf: Path = QEMU_CONF) -> str | None:
    """Why QEMU's user cannot open /dev/kvm, with the remedy; None if it can or there is no such device.

    Besides losing KVM, libvirt then probes QEMU's capabilities again at every look-up (seen with 9.0.0: each definition
    takes seconds instead of milliseconds), so it is worth fixing even on hosts that only emulate.
    """
    try:
        rights = device_rights(device)
    except FileNotFoundError:
        return None
    account = qemu_account(conf)
    if account is None or may_open(rights, account):
        return None
    return (
        f"QEMU's user {account.name} may not open {device} ({rights}), and libvirt probes QEMU again at every "
        f"look-up because of it: `chgrp kvm {device} && chmod 0660 {device}`, have {account.name} in group kvm, "
        "then restart libvirtd"
    )


def device_rights(device: Path) -> DeviceRights:
    """The rights of a device; raises `FileNotFoundError`."""
    found = device.stat()
    return DeviceRights(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def may_open(rights: DeviceRights, account: Account) -> bool:
    """Whether the account may open the device for reading and writing, by its permission bits."""
    if account.uid == 0:
        return True
    if account.uid == rights.uid:
        granted = rights.mode >> 6
    elif rights.gid in account.gids:
        granted = rights.mode >> 3
    else:
        granted = rights.mode
    return granted & _READ_WRITE == _READ_WRITE


def qemu_account(conf: Path = QEMU_CONF) -> Account | None:
    """The account of QEMU processes under the system libvirtd; None if it cannot be determined.

    libvirt reads `user` and `group` from qemu.conf, and uses its packaged defaults if they are not set.
    """
    settings = parse_qemu_conf(_read(conf))
    for name in filter(None, (settings.get("user"), *_PACKAGED_USERS)):
        account = account_of(name, settings.get("group"))
        if account is not None:
            return account
    return None


def parse_qemu_conf(text: str) -> dict[str, str]:
    """The `user` and `group` settings of a qemu.conf; a `+` before a number is dropped."""
    return {key: value.removeprefix("+") for key, value in _SETTING.findall(text)}


def account_of(name: str, group: str | None) -> Account | None:
    """The account of a user, with one more group, each given by its name or number; None if there is none."""
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        gids = set(os.getgrouplist(user.pw_name, user.pw_gid))
        if group:
            gids.add(int(group) if group.isdigit() else grp.getgrnam(group).gr_gid)
    except KeyError:
        return None
    return Account(user.pw_name, user.pw_uid, frozenset(gids))


def _read(conf: Path) -> str:
    try:
        return conf.read_text()
    except OSError:  # only root may read it on many hosts; the packaged users are then the best guess
        return ""
