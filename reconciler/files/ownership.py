"""The mark that everything we make on disk carries, and the only way such a file is deleted.

The mark is the extended attribute `user.vmcluster` (xattr(7)): it follows the file through rename, chown and
restart, needs no privilege, and is put on before the file gets its name. A file without it is not ours.

A mark names the file that it was put on: where `cp -a`, or a restore from a backup, has copied it to another one, it
does not count (`read_mark`) until `bind_copy` puts it on that one.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import Conflict, HostCapabilityMissing, OperationFailed
from reconciler.files.file_birth import birth_of
from reconciler.model.base import Frozen
from reconciler.model.origin import Origin

ATTRIBUTE = "user.vmcluster"

# ENODATA: no such attribute. ENOTSUP: a file system without them. EPERM: a symlink or a device (xattr(7)).
_UNMARKED = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)
_UNSUPPORTED = (errno.ENOTSUP, errno.EPERM)


class OwnedKind(StrEnum):
    """What one of our files is."""

    LAYER = "layer"
    SEED = "seed"
    HOST_KEY = "host_key"
    MANIFEST = "manifest"
    MEMORY = "memory"
    NVRAM = "nvram"
    DIRECTORY = "directory"


class MarkedFile(Frozen):
    """The file that a mark was put on, and the name that it had or was to get."""

    inode: int
    born_ns: int
    name: str


class OwnerMark(Frozen):
    """The owner of a file, and what its creator wants to read back without opening it.

    Marks of earlier versions have no origin, and do not say which `file` they were put on.
    """

    cluster: str
    node: str | None = None
    kind: OwnedKind
    facts: dict[str, str] = {}
    origin: Origin | None = None
    file: MarkedFile | None = None


def write_mark(file: int | Path, mark: OwnerMark, *, name: Path | None = None) -> None:
    """Put `mark` on an open file or a path; `name` is what errors call an open file.

    Raises `HostCapabilityMissing` where the file system has no user attributes.
    """
    place = name or (file if isinstance(file, Path) else Path(f"/proc/self/fd/{file}"))
    try:
        birth = birth_of(file)
        marked = MarkedFile(inode=birth.inode, born_ns=birth.born_ns, name=place.name)
        os.setxattr(file, ATTRIBUTE, mark.model_copy(update={"file": marked}).model_dump_json().encode())
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise HostCapabilityMissing(
                f"the file system of {place.parent} does not support user extended attributes, which mark our files",
                hint="set overlay_dir to a directory on ext4, xfs, btrfs or zfs (on tmpfs: Linux 6.6 or newer)",
            ) from error
        raise OperationFailed(f"cannot mark {place} as ours: {error.strerror}") from error


def read_mark(path: Path | str) -> OwnerMark | None:
    """The mark of a file, or None where it has none that we put on it; symlinks are not followed.

    Raises `FileNotFoundError` where there is no file, and `PermissionError` where it cannot be read.
    """
    stored = _stored_mark(path)
    return stored.mark if stored is not None and _is_of_file(stored, path) else None


def copied_mark(path: Path | str) -> OwnerMark | None:
    """The mark that a file got as a copy of another one; None if it has none. Raises as above."""
    stored = _stored_mark(path)
    if stored is None or _is_of_file(stored, path):
        return None
    return stored.mark.model_copy(update={"file": stored.file})


def bind_copy(path: Path, cluster: str) -> bool:
    """Make the mark valid that a copy of one of the cluster's files has, if it still has its name; returns if it had.

    Raises as `read_mark` and `write_mark` do.
    """
    mark = copied_mark(path)
    if mark is None or mark.file is None or mark.cluster != cluster or mark.file.name != path.name:
        return False
    write_mark(path, mark)
    return True


def sign(path: Path, cluster: str, origin: Origin) -> None:
    """Record the origin on one of the cluster's files. One that is gone, or not ours, is left alone."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mark = read_mark(path)
        if mark is not None and mark.cluster == cluster and mark.origin != origin:
            with _writable(path):
                write_mark(path, mark.model_copy(update={"origin": origin}))


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """A frozen layer is written to by nobody, but for its mark: xattr(7) asks for the right, of all but root."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.access(path, os.W_OK):
        yield
        return
    path.chmod(mode | stat.S_IWUSR)
    try:
        yield
    finally:
        path.chmod(mode)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A mark as it stands on a file, and the file that it was put on."""

    mark: OwnerMark
    file: MarkedFile | None


def _is_of_file(stored: _Stored, path: Path | str) -> bool:
    """By inode and birth; overlayfs numbers directories again with each mount (Documentation/filesystems/overlayfs)."""
    file = stored.file
    if file is None:
        return True
    birth = birth_of(path)
    if file.born_ns and birth.born_ns:
        same_inode = stored.mark.kind is OwnedKind.DIRECTORY or file.inode == birth.inode
        return file.born_ns == birth.born_ns and same_inode
    return file.inode == birth.inode


def _stored_mark(path: Path | str) -> _Stored | None:
    try:
        raw = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno in _UNMARKED:
            return None
        raise
    return _parsed(raw)


@lru_cache(maxsize=4096)  # an idle host shows the same marks at each resync, and each is read more than once
def _parsed(raw: bytes) -> _Stored | None:
    try:
        mark = OwnerMark.model_validate_json(raw)
    except ValidationError:
        return None
    return _Stored(mark.model_copy(update={"file": None}), mark.file)


def is_owned(path: Path, cluster: str) -> bool:
    """Whether the file carries our mark of this cluster; raises as `read_mark` does."""
    mark = read_mark(path)
    return mark is not None and mark.cluster == cluster


def require_owned(path: Path, cluster: str, kind: OwnedKind | None = None) -> OwnerMark:
    """The mark of one of our files of this cluster. Raises `Conflict` for any other file, or as `read_mark` does."""
    mark = read_mark(path)
    if mark is None or mark.cluster != cluster or kind not in {None, mark.kind}:
        raise not_ours(path, cluster)
    return mark


def delete_owned(path: Path, cluster: str) -> bool:
    """Delete one of our files of this cluster; returns whether it existed.

    Raises `Conflict`, leaving it alone, where the file is not ours or of another cluster.
    """
    try:
        require_owned(path, cluster)
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OperationFailed(f"cannot delete {path}: {error.strerror}") from error
    return True


def not_ours(path: Path, cluster: str) -> Conflict:
    """The refusal to touch a file that stands where one of `cluster` belongs."""
    with suppress(OSError):
        if (mark := copied_mark(path)) is not None and mark.cluster == cluster:
            return Conflict(
                f"{path} is a copy of a file that was created for cluster {cluster!r}, and was left alone",
                hint=f'`cluster_adopt(cluster_name="{cluster}")` adopts what was restored from a backup; '
                "otherwise move that file away",
            )
    return Conflict(
        f"{path} was not created for cluster {cluster!r} and was left alone",
        hint="move that file away, or choose another cluster name, overlay_dir or disk path",
    )
