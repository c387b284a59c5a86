"""Finds directories that other users could replace or write to, along the whole path, as OpenSSH does.

`safe_path` in OpenSSH's misc.c requires of every directory from the root down that root or the user owns it, and that
others may not write to it. Links are followed here one by one, since control of a link is control of its target.
A directory that everybody may write to, such as /tmp, is accepted if it is sticky and the next one belongs to root or
the user: nobody else can rename or remove that one (chmod(1), "restricted deletion flag").
"""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Conflict

_MOST_LINKS = 40  # path_resolution(7)
_ROOT_UID = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """A place on the way to a directory that others can change, how they can, and the command that fixes it."""

    place: Path
    why: str
    command: str

    def __str__(self) -> str:
        return f"{self.place} {self.why}, so its contents could be replaced"


def exposure_of(directory: Path) -> Exposure | None:
    """The first place on the way to a directory, itself included, that others can change; None if there is none.

    What does not exist is ignored: its creator will decide. Raises `OSError` if a place cannot be examined.
    """
    return next(_exposures(directory), None)


def make_unexposed(directory: Path, *, mode: int) -> None:
    """Create a missing directory with exactly `mode`, and missing parents with 0755, whatever the umask.

    Raises `Conflict` if others can change it or the way there, and `OSError` if it cannot be created.
    """
    require_unexposed(directory)
    _make(directory, mode)
    require_unexposed(directory)


def _make(directory: Path, mode: int) -> None:
    if directory.is_dir():
        return
    if directory.parent != directory:
        _make(directory.parent, 0o755)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise
    else:
        directory.chmod(mode)


def require_unexposed(directory: Path) -> None:
    """Raise `Conflict`, with the place and the command that fixes it, if others can change the way there."""
    if (found := exposure_of(directory)) is not None:
        raise Conflict(str(found), hint=f"`{found.command}`, or use another directory")


def _exposures(directory: Path) -> Iterator[Exposure]:
    here, left = Path("/"), _steps(directory.absolute())
    links = 0
    yield from _of_directory(here, is_last=not left)
    while left:
        step = left.pop()
        if step == "..":
            here = here.parent
            continue
        place = here / step
        try:
            status = place.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISLNK(status.st_mode):
            here = place
            yield from _of_directory(here, is_last=not left)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(directory))
        if status.st_uid not in _trusted():
            yield Exposure(place, f"is a link of user {_user_name(status.st_uid)}", f"rm {shlex.quote(str(place))}")
        target = place.readlink()
        here = Path("/") if target.is_absolute() else here
        left.extend(_steps(target))


def _steps(path: Path) -> list[str]:
    """The parts of a path without its root, the first one last."""
    return [part for part in reversed(path.parts) if part != "/"]


def _of_directory(place: Path, *, is_last: bool) -> Iterator[Exposure]:
    status = place.stat()
    quoted = shlex.quote(str(place))
    if status.st_uid not in _trusted():
        owner, user = _user_name(status.st_uid), _user_name(os.geteuid())
        yield Exposure(place, f"belongs to {owner}", f"chown {user} {quoted}")
    rights = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    has_list = rights == stat.S_IWGRP and _has_list(place)
    if rights == stat.S_IWGRP and not has_list and _is_private(status.st_gid, status.st_uid):
        return
    if rights and (is_last or not status.st_mode & stat.S_ISVTX):
        group = "users of its access control list" if has_list else f"group {_group_name(status.st_gid)}"
        who = "everybody" if rights & stat.S_IWOTH else group
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        yield Exposure(place, f"is writable by {who} (mode {mode})", f"chmod go-w {quoted}")


def _trusted() -> frozenset[int]:
    return frozenset({_ROOT_UID, os.geteuid()})


def _has_list(place: Path) -> bool:
    """Whether the mode's rights of the group are those of an access control list, for anybody: acl(5)."""
    try:
        os.getxattr(place, "system.posix_acl_access")
    except OSError:
        return False
    return True


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group belongs to one user alone; distributions with a umask of 0002 create one per user."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    is_own = (group.gr_gid, group.gr_name) == (user.pw_gid, user.pw_name)
    return is_own and set(group.gr_mem) <= {user.pw_name}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
