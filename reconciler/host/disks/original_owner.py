"""The user's files below our layers: their owners before libvirt gave them to QEMU's user, and how to return them.

libvirt remembers the owner of the file that a disk writes to and restores it when the machine is off. With a
snapshot that memory moves to the new layer, and files further down are never returned (seen with libvirt 9.0.0,
and `virSecurityDACSetImageLabelInternal` in its source). So the layer on top of such a file records its owner.
"""

import errno
import os
import re
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.files.marked_files import directory_names
from reconciler.files.ownership import read_mark
from reconciler.host.virt_type.kvm_access import qemu_account
from reconciler.model.document import ReownedFile

_REMEMBERED = "trusted.libvirt.security.dac"  # libvirt, src/security/security_util.c; "+UID:+GID"
_NOTHING_REMEMBERED = (errno.ENODATA, errno.ENOTSUP)
_OWNER = "owner"
_NOTED = re.compile(r"(?P<uid>[0-9]{1,10}):(?P<gid>[0-9]{1,10}):(?P<inode>[0-9]{1,20}):(?P<path>/[^\0]*)", re.DOTALL)
_NOBODY = (1 << 32) - 1
"""(uid_t) -1, which chown(2) takes for "unchanged"."""


def owner_facts(file: Path, beside: Path) -> dict[str, str]:
    """What the mark of a layer in the directory `beside` records about the owner of the user's file below it.

    Nothing if this process could not return it.
    """
    if os.geteuid() != 0:
        return {}
    found = file.stat()
    uid, gid = found.st_uid, found.st_gid
    if uid == _qemu_uid():
        uid, gid = _remembered(file) or _noted(file, found.st_ino, beside) or (uid, gid)
    return {_OWNER: f"{uid}:{gid}:{found.st_ino}:{file}"}


def taken_over(facts: dict[str, str]) -> dict[str, str]:
    """What a layer that absorbs another one with those facts has to record about the file below both."""
    return {_OWNER: facts[_OWNER]} if _OWNER in facts else {}


def reowned_file(facts: dict[str, str]) -> ReownedFile | None:
    """The user's file below a layer with those facts, if QEMU's user has it and nothing else will return it."""
    noted = _parse(facts)
    if noted is None or os.geteuid() != 0:
        return None
    try:
        found = noted.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    is_lent = (found.st_uid, found.st_gid) != (noted.uid, noted.gid) and found.st_uid == _qemu_uid()
    return noted if is_lent and found.st_ino == noted.inode and _remembered(noted.path) is None else None


def restore_owner(reowned: ReownedFile) -> None:
    """Return the file to its owner. One that was replaced since is another file, and stays as it is.

    Raises `OperationFailed`.
    """
    try:
        file = os.open(reowned.path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if os.fstat(file).st_ino == reowned.inode:
            os.chown(f"/proc/self/fd/{file}", reowned.uid, reowned.gid)
    except OSError as error:
        raise OperationFailed(
            f"cannot return {reowned.path} to its owner: {error.strerror}",
            hint=f"`chown {reowned.uid}:{reowned.gid}` it",
        ) from error
    finally:
        os.close(file)


def _parse(facts: dict[str, str]) -> ReownedFile | None:
    """What is recorded, if it is plausible: QEMU's user may write to the layer, and so to its mark."""
    noted = _NOTED.fullmatch(facts.get(_OWNER, ""))
    if noted is None:
        return None
    uid, gid, inode = (int(noted[name]) for name in ("uid", "gid", "inode"))
    return ReownedFile(path=Path(noted["path"]), inode=inode, uid=uid, gid=gid) if max(uid, gid) < _NOBODY else None


def _remembered(file: Path) -> tuple[int, int] | None:
    """The owner to whom libvirt is going to return the file; None if it remembers none."""
    try:
        uid, _, gid = os.getxattr(file, _REMEMBERED).decode().rstrip("\0").partition(":")
    except OSError as error:
        if error.errno in _NOTHING_REMEMBERED:
            return None
        raise
    return int(uid), int(gid)


def _noted(file: Path, inode: int, directory: Path) -> tuple[int, int] | None:
    """The owner that another layer on the same file has recorded."""
    marks = (read_mark(directory / name) for name in directory_names(directory) if name.endswith(".qcow2"))
    for noted in (_parse(mark.facts) for mark in marks if mark is not None):
        if noted is not None and (noted.path, noted.inode) == (file, inode):
            return noted.uid, noted.gid
    return None


def _qemu_uid() -> int | None:
    account = qemu_account()
    return None if account is None else account.uid
