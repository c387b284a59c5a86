"""A registered tree as files again, for as long as it takes to send it.

A file is a hard link to the store's copy if mode and time are equal, as they nearly always are, and otherwise
a copy of it. Only we read a view, and nothing writes to it.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reconciler.artifacts.objects import Objects
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.locks import try_lock
from reconciler.files.removal import remove_tree

_LINKS_MAX = 32_000
"""ext4 allows twice as many (ext4(5)); views share a file, and are few."""


@contextmanager
def tree_copy(store_dir: Path, objects: Objects, entries: Sequence[TreeEntry]) -> Iterator[Path]:
    """The tree in its own directory. Nothing may be removed from the store until it is built."""
    with reporting_os_errors(store_dir):
        directory = store_dir / "views"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        view = Path(tempfile.mkdtemp(dir=directory))
        lock = os.open(view, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try_lock(lock)
        with reporting_os_errors(view):
            _fill(os.fsencode(view / "tree"), objects, entries)
        yield view / "tree"
    finally:
        remove_tree(view)
        os.close(lock)


def sweep_tree_copies(store_dir: Path) -> None:
    """Delete the views that killed processes left."""
    for view in (store_dir / "views").glob("*"):
        lock = os.open(view, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if try_lock(lock):
                remove_tree(view)
        finally:
            os.close(lock)


def _fill(root: bytes, objects: Objects, entries: Sequence[TreeEntry]) -> None:
    os.mkdir(root)
    os.chmod(root, 0o755)  # noqa: S103  of the tree on the nodes, where everybody may run what was built
    ordered = sorted(entries, key=lambda entry: entry.path)
    for entry in ordered:
        _make(os.path.join(root, entry.path), entry, objects)
    for entry in reversed(ordered):
        if entry.kind is EntryKind.DIRECTORY:
            os.chmod(os.path.join(root, entry.path), entry.mode)


def _make(place: bytes, entry: TreeEntry, objects: Objects) -> None:
    match entry.kind:
        case EntryKind.DIRECTORY:
            os.mkdir(place, 0o700)
        case EntryKind.LINK:
            os.symlink(entry.content, place)
        case EntryKind.FILE:
            _make_file(place, entry, os.fsencode(objects.path(entry.content.decode())))


def _make_file(place: bytes, entry: TreeEntry, kept: bytes) -> None:
    status = os.stat(kept)
    same = (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (entry.mode, entry.mtime_ns)
    if same and status.st_nlink < _LINKS_MAX:
        os.link(kept, place)
        return
    shutil.copyfile(kept, place)
    os.chmod(place, entry.mode)
    os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))
