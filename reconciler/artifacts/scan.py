"""A look at every name in a tree, without reading any file."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.artifacts.entries import EntryKind, TreeEntry, shown
from reconciler.errors import Conflict, InvalidArgument

_VERSION_CONTROL = b".git"
_SPECIAL = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}

Signature = tuple[int, int, int, int]
"""Inode, size, mtime_ns and ctime_ns: the content is the same where these are, but for very recent changes."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file that is not read yet."""

    path: bytes
    mode: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A name that is left out, and why."""

    path: bytes
    reason: str


@dataclass(slots=True)
class Scan:
    """A tree at one moment; `complete` are the entries that need no reading."""

    files: list[FoundFile] = field(default_factory=list)
    complete: list[TreeEntry] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)


def signature_of(status: os.stat_result) -> Signature:
    """What tells cheaply whether a file is still the same."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def scan_tree(root: bytes) -> Scan:
    """Every name below `root`.

    What cannot be in an artifact is excluded with its reason: links that lead out of the tree, sockets, pipes,
    devices, and git's own data. Raises `InvalidArgument` for a directory that cannot be listed, and `Conflict`
    where the tree changes under the scan.
    """
    scan = Scan()
    real_root = os.path.realpath(root)
    pending = [b""]
    while pending:
        directory = pending.pop()
        for entry in _listed(root, directory):
            path = directory + b"/" + entry.name if directory else entry.name
            if _take(scan, path, entry, real_root):
                pending.append(path)
    return scan


def _listed(root: bytes, directory: bytes) -> Iterator[os.DirEntry[bytes]]:
    try:
        with os.scandir(os.path.join(root, directory)) as entries:
            yield from entries
    except FileNotFoundError:
        raise changed(directory) from None
    except OSError as error:
        raise InvalidArgument(
            f"cannot list the directory {shown(directory) or '.'} of the tree: {error.strerror}",
            hint="register as a user who may read the whole tree",
        ) from error


def _take(scan: Scan, path: bytes, entry: os.DirEntry[bytes], real_root: bytes) -> bool:
    """Put one name where it belongs; whether it is a directory to go into."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        raise changed(path) from None
    kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
    if entry.name == _VERSION_CONTROL:
        scan.excluded.append(Exclusion(path, "git's own data, no part of a build"))
        return False
    if kind == stat.S_IFREG:
        scan.files.append(FoundFile(path, mode, signature_of(status)))
    elif kind == stat.S_IFDIR:
        scan.complete.append(TreeEntry(path, EntryKind.DIRECTORY, mode))
    elif kind == stat.S_IFLNK:
        _take_link(scan, path, entry, real_root)
    else:
        scan.excluded.append(Exclusion(path, _SPECIAL.get(kind, "neither file, directory nor link")))
    return kind == stat.S_IFDIR


def _take_link(scan: Scan, path: bytes, entry: os.DirEntry[bytes], real_root: bytes) -> None:
    try:
        target = os.readlink(entry.path)
    except OSError:
        raise changed(path) from None
    if reason := _leads_out(entry.path, path, target, real_root):
        scan.excluded.append(Exclusion(path, reason))
    else:
        scan.complete.append(TreeEntry(path, EntryKind.LINK, 0o777, target, mtime_ns=0))


def _leads_out(place: bytes, path: bytes, target: bytes, real_root: bytes) -> str | None:
    """Why a link cannot be in an artifact, None where it leads to a place in the tree, which need not exist."""
    if target.startswith(b"/"):
        return f"a link to an absolute path, {shown(target)}"
    lexical = os.path.normpath(os.path.join(os.path.dirname(path), target))
    real = os.path.realpath(place)
    inside = real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")
    if lexical == b".." or lexical.startswith(b"../") or not inside:
        return f"a link out of the tree, to {shown(target)}"
    return None


def changed(path: bytes) -> Conflict:
    """The error for a tree that does not stand still."""
    return Conflict(
        f"{shown(path) or 'the tree'} changed while the tree was read", hint="let the build end, then register again"
    )
