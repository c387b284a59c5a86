"""Files that appear under their name whole, marked and on disk, or not at all.

A new file is unnamed (`O_TMPFILE`, open(2)) until it is complete and linkat(2) names it, so a process killed at any
moment leaves nothing. rename(2) needs a second name to replace a file; that name is fixed, so what a kill leaves
there is removed by the next replacement or deletion.
"""

import errno
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import Conflict, HostCapabilityMissing, OperationFailed
from reconciler.files.exposure import make_unexposed
from reconciler.files.ownership import OwnerMark, bind_copy, delete_owned, require_owned, write_mark
from reconciler.model.names import cluster_dir

Fill = Callable[[int], None]
"""Writes a file's contents to an open file descriptor."""

CLUSTER_DIR_MODE = 0o711
"""QEMU's user must be able to enter the directories of files that libvirt gives it; nobody else needs to list them."""

_REMEDIES = {
    errno.ENOSPC: "free some space on that file system",
    errno.EDQUOT: "raise the quota or free some space",
    errno.EACCES: "run as a user who may write there, or set overlay_dir to another directory",
    errno.EROFS: "set overlay_dir to a directory on a writable file system",
    errno.ENOENT: "create its directory first",
    errno.ENOTDIR: "create its directory first",
}


def create_file(path: Path, content: bytes | Fill, mark: OwnerMark, *, mode: int) -> None:
    """Create `path` with `content`, our mark and exactly `mode`.

    Raises `FileExistsError`, changing nothing, if something has that name.
    """
    with _directory(path) as directory, _unnamed_file(path, content, mark, mode) as file, _reported(path):
        _give_name(file, path.name, directory)
        os.fsync(directory)


def replace_file(path: Path, content: bytes | Fill, mark: OwnerMark, *, mode: int) -> None:
    """Create `path` as `create_file` does, replacing our older file of the same cluster.

    Raises `Conflict`, leaving it alone, if a file that is not ours has the name.
    """
    try:
        create_file(path, content, mark, mode=mode)
    except FileExistsError:
        _replace(path, content, mark, mode)


def delete_file(path: Path, cluster: str) -> bool:
    """Delete one of our files, and what a killed replacement of it left; returns whether it existed.

    Raises `Conflict`, leaving it alone, if the file is not ours or belongs to another cluster.
    """
    delete_owned(second_name(path), cluster)
    return delete_owned(path, cluster)


def read_owned(path: Path, cluster: str) -> bytes | None:
    """The contents of one of our small files, None if it does not exist; raises `Conflict` if it is not ours."""
    try:
        require_owned(path, cluster)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OperationFailed(f"cannot read {path}: {error.strerror}") from error


def second_name(path: Path) -> Path:
    """The name that a replacement of `path` has for an instant; no name that we observe starts with a dot."""
    return path.with_name(f".{path.name}.vmcluster-tmp")


def ensure_directory(path: Path, *, mode: int) -> None:
    """Create a directory with exactly `mode`; an existing one stays as it is. Its parents get mode 0755.

    Raises `Conflict` if something else is there, or others can change it or the way there.
    """
    with _reported(path):
        try:
            make_unexposed(path, mode=mode)
        except (FileExistsError, NotADirectoryError):
            raise Conflict(
                f"{path} is not a directory", hint="move that file away, or set overlay_dir elsewhere"
            ) from None


def directory_names(directory: Path) -> list[str]:
    """The names in a directory, none if it does not exist; raises `OperationFailed` if it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise OperationFailed(
            f"cannot list {directory}: {error.strerror}", hint="run as the user who created it"
        ) from error


def write_all(file: int, content: bytes, offset: int = 0) -> None:
    """pwrite(2) until everything is written."""
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _replace(path: Path, content: bytes | Fill, mark: OwnerMark, mode: int) -> None:
    with _directory(path) as directory, _unnamed_file(path, content, mark, mode) as file:
        require_owned(path, mark.cluster)
        second = second_name(path)
        delete_owned(second, mark.cluster)
        with _reported(path):
            _give_name(file, second.name, directory)
            os.rename(second.name, path.name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    with _reported(path):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield directory
    finally:
        os.close(directory)


@contextmanager
def _unnamed_file(path: Path, content: bytes | Fill, mark: OwnerMark, mode: int) -> Iterator[int]:
    file = _open_unnamed(path, mode)
    try:
        with _reported(path):
            if callable(content):
                content(file)
            else:
                write_all(file, content)
            os.fchmod(file, mode)  # open(2) applies the umask
            _keep_access(file, mode)
        write_mark(file, mark, name=path)
        with _reported(path):
            os.fsync(file)
        yield file
    finally:
        os.close(file)


def _open_unnamed(path: Path, mode: int) -> int:
    with _reported(path):
        try:
            return os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR}:
                raise
            raise HostCapabilityMissing(
                f"the file system of {path.parent} does not support unnamed files (O_TMPFILE)",
                hint="set overlay_dir to a directory on ext4, xfs, btrfs, zfs or tmpfs",
            ) from error


def _keep_access(file: int, mode: int) -> None:
    """Let an unprivileged owner read and write its file even after libvirt has given it to QEMU's user.

    libvirt never returns read-only disks (seen with 9.0.0), and chown(2) leaves access control lists alone.
    """
    if os.geteuid() == 0:
        return
    try:
        os.setxattr(file, "system.posix_acl_access", access_control_list(mode, os.geteuid()))
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # without lists the file is Unknown to us while a domain uses it
            raise


def access_control_list(mode: int, user: int) -> bytes:
    """A list in the format of linux/posix_acl_xattr.h: `mode` for all, and read and write for `user`."""
    unnamed = 0xFFFFFFFF
    entries = (
        (0x01, mode >> 6 & 7, unnamed),  # ACL_USER_OBJ
        (0x02, 6, user),  # ACL_USER
        (0x04, mode >> 3 & 7, unnamed),  # ACL_GROUP_OBJ
        (0x10, 6, unnamed),  # ACL_MASK
        (0x20, mode & 7, unnamed),  # ACL_OTHER
    )
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _give_name(file: int, name: str, directory: int) -> None:
    # Naming a directory makes Python call linkat(2) with AT_SYMLINK_FOLLOW, which this form of it needs (open(2)).
    os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=directory)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise OperationFailed(f"cannot write {path}: {error.strerror}", hint=_REMEDIES.get(error.errno or 0)) from error


def remove_empty_directory(path: Path) -> None:
    """Remove a directory; one that is missing, or not empty, stays as it is."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise OperationFailed(f"cannot remove {path}: {error.strerror}") from error


def bind_copies(
    overlay_dir: Path, cluster: str, others: Iterable[Path], require_term: Callable[[], None]
) -> list[Path]:
    """Make copied marks valid on the files of the cluster's directory and on `others`; returns the files that had one.

    Blocking. It can be repeated after an interruption at any point. Raises what `bind_copy` raises, and what
    `require_term` does, which is asked before each file whether this host still may act.
    """
    bound = []
    for path in _places(cluster_dir(overlay_dir, cluster), others):
        require_term()
        if bind_copy(path, cluster):
            bound.append(path)
    return bound


def _places(directory: Path, others: Iterable[Path]) -> Iterator[Path]:
    """The directory first: without its mark, its contents belong to nobody. Then everything down to snapshots."""
    if directory.exists():
        yield directory.resolve()
    yield from (path for path in others if path.exists())
    for name in sorted(directory_names(directory)):
        yield (path := directory / name)
        if name == "snapshots" and path.is_dir() and not path.is_symlink():
            for snapshot in sorted(path / name for name in directory_names(path)):
                yield snapshot
                yield from (
                    snapshot / entry for entry in sorted(directory_names(snapshot)) if not snapshot.is_symlink()
                )
