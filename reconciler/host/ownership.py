"""The mark that everything we make on disk carries, and the only way such a file is deleted.

The mark is the extended attribute `user.vmcluster` (xattr(7)): it follows the file through rename, chown and
restart, needs no privilege, and is put on before the file gets its name. A file without it is not ours.
"""

import errno
import os
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import Conflict, HostCapabilityMissing, OperationFailed
from reconciler.model.base import Frozen

ATTRIBUTE = "user.vmcluster"

# ENODATA: no such attribute. ENOTSUP: a file system without them. EPERM: a symlink or a device (xattr(7)).
_UNMARKED = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)
_UNSUPPORTED = (errno.ENOTSUP, errno.EPERM)


class OwnedKind(StrEnum):
    """What a file of ours is."""

    LAYER = "layer"
    SEED = "seed"
    HOST_KEY = "host_key"
    MANIFEST = "manifest"
    MEMORY = "memory"
    NVRAM = "nvram"


class OwnerMark(Frozen):
    """Whose file this is, and what its maker wants to read back without opening it."""

    cluster: str
    node: str | None = None
    kind: OwnedKind
    facts: dict[str, str] = {}


def write_mark(file: int | Path, mark: OwnerMark, *, name: Path | None = None) -> None:
    """Put `mark` on an open file or a path; `name` is what errors call an open file.

    Raises `HostCapabilityMissing` where the file system has no user attributes.
    """
    place = name or (file if isinstance(file, Path) else Path(f"/proc/self/fd/{file}"))
    try:
        os.setxattr(file, ATTRIBUTE, mark.model_dump_json().encode())
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise HostCapabilityMissing(
                f"the file system of {place.parent} keeps no user extended attributes, which mark what is ours",
                hint="set overlay_dir to a directory on ext4, xfs, btrfs or zfs (on tmpfs: Linux 6.6 or newer)",
            ) from error
        raise OperationFailed(f"cannot mark {place} as ours: {error.strerror}") from error


def read_mark(path: Path | str) -> OwnerMark | None:
    """The mark of a file, or None where it has none that we wrote; symlinks are not followed.

    Raises `FileNotFoundError` where there is no file, and `PermissionError` where it cannot be read.
    """
    try:
        raw = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno in _UNMARKED:
            return None
        raise
    try:
        return OwnerMark.model_validate_json(raw)
    except ValidationError:
        return None


def is_owned(path: Path, cluster: str) -> bool:
    """Whether the file carries our mark of this cluster; raises as `read_mark` does."""
    mark = read_mark(path)
    return mark is not None and mark.cluster == cluster


def delete_owned(path: Path, cluster: str) -> bool:
    """Delete a file of ours of this cluster; whether there was one.

    Raises `Conflict`, leaving it alone, where the file is not ours or of another cluster.
    """
    try:
        if not is_owned(path, cluster):
            raise not_ours(path, cluster)
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OperationFailed(f"cannot delete {path}: {error.strerror}") from error
    return True


def not_ours(path: Path, cluster: str) -> Conflict:
    """The refusal to touch a file that stands where one of `cluster` belongs."""
    return Conflict(
        f"{path} was not made for cluster {cluster!r} and stays untouched",
        hint="move that file away, or choose another cluster name, overlay_dir or disk path",
    )
