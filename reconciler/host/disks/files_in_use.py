"""How files are used by machines, identified by device and inode, whatever links or mounts lead to them."""

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reconciler.files.ownership import OwnerMark, read_mark
from reconciler.host.disks.given_format import noted_format
from reconciler.host.magic import RAW
from reconciler.model.file_use import FileUse
from reconciler.model.names import ROOT_DISK

FileIdentity = tuple[int, int, str]
"""Device, inode, and the name if the file does not exist yet."""


def mark_behind(path: Path) -> OwnerMark | None:
    """The mark of the file that a path leads to, through any links.

    Also None if it has none, or cannot be examined: the code that reads the file reports why.
    """
    with suppress(OSError):
        return read_mark(os.path.realpath(path))  # Path.resolve() raises a RuntimeError for links in a cycle
    return None


class FilesInUse:
    """The uses of files on this host, as far as they are known."""

    def __init__(self, uses: Iterable[FileUse]) -> None:
        self._by_file: defaultdict[FileIdentity, list[FileUse]] = defaultdict(list)
        for use in uses:
            if (identity := file_identity(use.path)) is not None:
                self._by_file[identity].append(use)

    def format_of(self, path: Path) -> str | None:
        """The format in which machines write, or wrote, to a file; None if none is known to. Raw overrides the rest."""
        formats = [use.format for use in self.of(path) if use.written]
        with suppress(OSError):  # the code that reads the file reports why it cannot
            formats.append(noted_format(path))
        return RAW if RAW in formats else next(filter(None, formats), None)

    def why_not_written(self, path: Path, cluster: str | None, *, shared: bool) -> str | None:
        """Why no machine of the cluster may write to a file; None if one may."""
        uses = self.of(path)
        if below := next((use for use in uses if _must_stay(use, cluster)), None):
            return f"is below the disks of {below.whose}, so it is never written to (use a copy)"
        if other := next((use for use in uses if _is_written_by_others(use, cluster, shared=shared)), None):
            apart = "stop it first, or use a separate file"
            return f"is a disk of {other.whose}, which is up and writes to it ({apart})"
        return None

    def of(self, path: Path) -> list[FileUse]:
        """Every known use of a file."""
        identity = file_identity(path)
        return self._by_file.get(identity, []) if identity is not None else []


def file_identity(path: Path) -> FileIdentity | None:
    """Identifies a file, whatever leads to it; if it does not exist, by its directory and name."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino, ""
    except FileNotFoundError:
        pass
    except OSError:
        return None
    try:
        place = path.parent.stat()
    except OSError:
        return None
    return place.st_dev, place.st_ino, path.name


def _must_stay(use: FileUse, cluster: str | None) -> bool:
    """A cluster's own extra disk is below its own layers after a snapshot, and gets one more to write to."""
    return not use.written and (use.cluster != cluster or use.target == ROOT_DISK)


def _is_written_by_others(use: FileUse, cluster: str | None, *, shared: bool) -> bool:
    return use.written and use.is_up and use.cluster != cluster and not (use.shared and shared)
