"""Files that appear under their name whole or not at all, and survive a power cut."""

import ctypes
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from reconciler.errors import OperationFailed
from reconciler.files.exposure import make_unexposed

_REMEDIES = {
    errno.ENOSPC: "free some space on that file system",
    errno.EDQUOT: "raise the quota or free some space",
    errno.EACCES: "run as a user who may write there, or configure another path",
    errno.EROFS: "configure a path on a writable file system",
    errno.ENOTSUP: "configure a path on a file system with extended attributes, such as ext4, xfs or btrfs",
}

Attributes = Mapping[str, bytes]
NO_ATTRIBUTES: Attributes = MappingProxyType({})

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def reporting_os_errors(path: Path | str) -> Iterator[None]:
    """Turn the system's errors about one of our paths into `OperationFailed` with a remedy."""
    try:
        yield
    except OSError as error:
        raise OperationFailed(
            f"cannot use {path}: {error.strerror or error}", hint=_REMEDIES.get(error.errno or 0)
        ) from error


def write_whole(path: Path, content: bytes, *, mode: int = 0o600, attributes: Attributes = NO_ATTRIBUTES) -> None:
    """Write a file to disk before it gets its name; its directory is created (0700) if missing.

    `attributes` are extended attributes that it has from the beginning.
    """
    with _written(path, [content], mode, attributes) as temporary:
        temporary.replace(path)


def write_parts(path: Path, parts: Iterable[bytes], *, mode: int = 0o600) -> None:
    """The same, for a content that need not be in memory as a whole."""
    with _written(path, parts, mode, NO_ATTRIBUTES) as temporary:
        temporary.replace(path)


def create_whole(path: Path, content: bytes, *, mode: int = 0o600, attributes: Attributes = NO_ATTRIBUTES) -> bool:
    """The same for a new file; returns False, and changes nothing, if anything has the name already."""
    with _written(path, [content], mode, attributes) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _written(path: Path, parts: Iterable[bytes], mode: int, attributes: Attributes) -> Iterator[Path]:
    """A file on disk beside `path`, to be given that name; one that was not is deleted."""
    with reporting_os_errors(path):
        make_unexposed(path.parent, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fchmod(file.fileno(), mode)
                for attribute, value in attributes.items():
                    os.setxattr(file.fileno(), attribute, value)
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        fsync_path(path.parent)


def fsync_path(path: Path) -> None:
    """Flush the contents of a file, or the names in a directory, to disk: fsync(2). Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(directory: Path) -> None:
    """Flush everything written to the file system of `directory` to disk: syncfs(2)."""
    with reporting_os_errors(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)
