"""Scans every name in a tree, without reading any file."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.artifacts.tree_entries import EntryKind, TreeEntry, path_text
from reconciler.errors import Conflict, InvalidArgument
from reconciler.files.roots import Held, Opened, open_beneath

MEMORY_LIMIT_BYTES = 512 * 1024**2
"""Limit for what is remembered of a tree until it is registered: a kernel tree with all its modules needs half."""
_NAME_BYTES = 1300
"""Approximate memory for one name in addition to its texts, which exist twice while a cache of them is read."""
_VERSION_CONTROL = b".git"
_SPECIAL = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}

Signature = tuple[int, int, int, int]
"""Inode, size, mtime_ns and ctime_ns: if they are equal, so is the content, except for very recent changes."""


class FoundFile(NamedTuple):
    """A regular file that has not been read yet; a tuple, as a large tree has a hundred thousand of them."""

    path: bytes
    mode: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A name that is excluded, and why."""

    path: bytes
    reason: str


@dataclass(slots=True)
class Scan:
    """A tree at one moment; `complete` are the entries that need no reading."""

    files: list[FoundFile] = field(default_factory=list)
    complete: list[TreeEntry] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)

    memory_bytes: int = 0

    def remember(self, path: bytes, text: str | bytes = b"") -> None:
        """Count one more name. Raises `InvalidArgument` if that is too much to remember."""
        self.memory_bytes += _NAME_BYTES + 2 * (len(path) + len(text))
        if self.memory_bytes > MEMORY_LIMIT_BYTES:
            raise _too_large(len(self.files) + len(self.complete) + len(self.excluded))


def signature_of(status: os.stat_result) -> Signature:
    """A cheap way to tell whether a file is unchanged."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def scan_tree(root: Opened) -> Scan:
    """Every name below an opened directory; links on the way are not followed.

    What cannot be in an artifact is excluded with its reason: links that lead out of the tree, sockets, pipes,
    devices, and git's own data. Raises `InvalidArgument` for a directory that cannot be listed and for a tree with more
    names than can be remembered, and `Conflict` if the tree changes during the scan.
    """
    scan, pending = Scan(), [b""]
    while pending:
        pending += _scan_directory(scan, root, pending.pop())
    return scan


def scan_directories(root: Opened) -> Iterator[Scan]:
    """The same, one directory at a time."""
    pending = [b""]
    while pending:
        part = Scan()
        pending += _scan_directory(part, root, pending.pop())
        yield part


def fingerprint(scan: Scan) -> str:
    """Equal for two scans that saw the same, in the same order; it means nothing else."""
    digest = hashlib.sha256()
    for path, mode, (inode, size_bytes, mtime_ns, ctime_ns) in scan.files:
        digest.update(b"%b\0%x %x %x %x %x\0" % (path, mode, inode, size_bytes, mtime_ns, ctime_ns))
    digest.update(repr((scan.complete, scan.excluded)).encode())
    return digest.hexdigest()


def _scan_directory(scan: Scan, root: Opened, path: bytes) -> list[bytes]:
    """Sort each name into the scan; returns the directories to scan next. Nearly all names are files, done at once."""
    prefix = path + b"/" if path else b""
    directories = []
    directory = open_directory(root, path)
    for entry in _listed(directory, path):
        name = os.fsencode(entry.name)
        below = prefix + name
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            raise changed(below) from None
        if name == _VERSION_CONTROL:
            _exclude(scan, below, "git's own data, not part of a build")
        elif stat.S_ISREG(status.st_mode):
            scan.remember(below)
            scan.files.append(FoundFile(below, stat.S_IMODE(status.st_mode), signature_of(status)))
        elif stat.S_ISDIR(status.st_mode):
            scan.remember(below)
            scan.complete.append(TreeEntry(below, EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode)))
            directories.append(below)
        elif stat.S_ISLNK(status.st_mode):
            _take_link(scan, below, _target(directory, name, below), os.fsencode(root.real))
        else:
            reason = _SPECIAL.get(stat.S_IFMT(status.st_mode), "neither file, directory nor link")
            _exclude(scan, below, reason)
    return directories


def _exclude(scan: Scan, path: bytes, reason: str) -> None:
    scan.remember(path, reason)
    scan.excluded.append(Exclusion(path, reason))


def open_directory(root: Opened, path: bytes) -> Held:
    """A directory of the tree. Raises as `scan_tree` does."""
    try:
        return Held(open_beneath(root.held.fileno(), path, os.O_RDONLY | os.O_DIRECTORY))
    except OSError as error:
        raise _unlisted(path, error) from error


def _listed(directory: Held, path: bytes) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory.fileno()) as entries:
            yield from entries
    except OSError as error:
        raise _unlisted(path, error) from error


def _unlisted(path: bytes, error: OSError) -> Conflict | InvalidArgument:
    if path and error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
        return changed(path)
    return InvalidArgument(
        f"cannot list the directory {path_text(path) or '.'} of the tree: {error.strerror}",
        hint="register as a user who may read the whole tree",
    )


def _too_large(names: int) -> InvalidArgument:
    limit_mib = MEMORY_LIMIT_BYTES // 1024**2
    return InvalidArgument(
        f"the tree has more than {names} names, which need more than {limit_mib} MiB of memory",
        hint="register only what you need, such as the directory that `make install` with DESTDIR fills",
    )


def _target(directory: Held, name: bytes, path: bytes) -> bytes:
    try:
        return os.readlink(name, dir_fd=directory.fileno())
    except OSError:
        raise changed(path) from None


def _take_link(scan: Scan, path: bytes, target: bytes, real_root: bytes) -> None:
    if reason := _leads_out(path, target, real_root):
        _exclude(scan, path, reason)
    else:
        scan.remember(path, target)
        scan.complete.append(TreeEntry(path, EntryKind.LINK, 0o777, target, mtime_ns=0))


def _leads_out(path: bytes, target: bytes, real_root: bytes) -> str | None:
    """Why a link cannot be in an artifact; None if it leads to a path in the tree, which need not exist."""
    if target.startswith(b"/"):
        return f"a link to an absolute path, {path_text(target)}"
    lexical = os.path.normpath(os.path.join(os.path.dirname(path), target))
    real = os.path.realpath(os.path.join(real_root, path))
    inside = real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")
    if lexical == b".." or lexical.startswith(b"../") or not inside:
        return f"a link out of the tree, to {path_text(target)}"
    return None


def changed(path: bytes) -> Conflict:
    """The error for a tree that changes while it is read."""
    return Conflict(
        f"{path_text(path) or 'the tree'} changed while the tree was read",
        hint="let the build finish, then register again",
    )
