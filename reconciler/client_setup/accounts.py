"""Whose configuration is changed: the caller's, or that of the user who called sudo(8), with that user's rights."""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT_UID = 0


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user of this host."""

    name: str
    uid: int
    gid: int
    home: Path


def calling_account(environ: Mapping[str, str]) -> UserAccount:
    """The user who called sudo, if root runs this for one; otherwise the user of this process."""
    uid = os.geteuid()
    sudo_uid = environ.get("SUDO_UID", "")
    if uid == _ROOT_UID and sudo_uid.isdecimal() and int(sudo_uid) != _ROOT_UID:
        found = pwd.getpwuid(int(sudo_uid))
        return UserAccount(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))
    found = pwd.getpwuid(uid)
    return UserAccount(found.pw_name, uid, found.pw_gid, Path(environ.get("HOME") or found.pw_dir))


@contextmanager
def acting_as(account: UserAccount) -> Iterator[None]:
    """Use files as a user, whose links then lead to nothing that the user may not touch: credentials(7).

    The identity belongs to the whole process, so nothing else may run meanwhile.
    """
    if os.geteuid() != _ROOT_UID or account.uid == _ROOT_UID:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(account.name, account.gid))
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT_UID)
        os.setegid(gid)
        os.setgroups(groups)
