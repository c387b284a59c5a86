"""A look at every name in a tree, without reading any file."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

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


class FoundFile(NamedTuple):
    """A regular file that is not read yet; a tuple, as a large tree has a hundred thousand of them."""

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
        pending += _scan_directory(scan, root, pending.pop(), real_root)
    return scan


def fingerprint(scan: Scan) -> str:
    """The same for two looks that saw the same, in the same order; of no meaning beyond that."""
    digest = hashlib.sha256()
    for path, mode, (inode, size_bytes, mtime_ns, ctime_ns) in scan.files:
        digest.update(b"%b\0%x %x %x %x %x\0" % (path, mode, inode, size_bytes, mtime_ns, ctime_ns))
    digest.update(repr((scan.complete, scan.excluded)).encode())
    return digest.hexdigest()


def _scan_directory(scan: Scan, root: bytes, directory: bytes, real_root: bytes) -> list[bytes]:
    """Put each name where it belongs; the directories to go into. Nearly all are files, and done with at once."""
    prefix = directory + b"/" if directory else b""
    directories = []
    for entry in _listed(root, directory):
        path = prefix + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            raise changed(path) from None
        if entry.name == _VERSION_CONTROL:
            scan.excluded.append(Exclusion(path, "git's own data, no part of a build"))
        elif stat.S_ISREG(status.st_mode):
            scan.files.append(FoundFile(path, stat.S_IMODE(status.st_mode), signature_of(status)))
        elif stat.S_ISDIR(status.st_mode):
            scan.complete.append(TreeEntry(path, EntryKind.DIRECTORY, stat.S_IMODE(status.st_mode)))
            directories.append(path)
        else:
            _take_other(scan, path, entry, stat.S_IFMT(status.st_mode), real_root)
    return directories


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


def _take_other(scan: Scan, path: bytes, entry: os.DirEntry[bytes], kind: int, real_root: bytes) -> None:
    if kind == stat.S_IFLNK:
        _take_link(scan, path, entry, real_root)
    else:
        scan.excluded.append(Exclusion(path, _SPECIAL.get(kind, "neither file, directory nor link")))


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
