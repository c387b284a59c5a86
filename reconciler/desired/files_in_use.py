"""Which files of a topology are something to others: what stands below disks, and what other machines write to.

Files are told by device and inode, whatever links or mounts lead to them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.desired.claims import Claims, DiskClaim
from reconciler.desired.places import FileIdentity, file_identity
from reconciler.errors import ErrorCode
from reconciler.host.disks.given_format import noted_format
from reconciler.host.magic import RAW
from reconciler.model.file_use import FileUse
from reconciler.model.names import ROOT_DISK
from reconciler.source.problems import Finding, Location


class FilesInUse:
    """The uses of files on this host, as far as they are known."""

    def __init__(self, uses: Iterable[FileUse]) -> None:
        self._by_file: defaultdict[FileIdentity, list[FileUse]] = defaultdict(list)
        for use in uses:
            if (identity := file_identity(use.path)) is not None:
                self._by_file[identity].append(use)

    def format_of(self, path: Path) -> str | None:
        """What a file is, or was, written as by machines; None where none is known to write to it. Raw beats all."""
        formats = [use.format for use in self._of(path) if use.written]
        with suppress(OSError):  # who reads the file says why it cannot be read
            formats.append(noted_format(path))
        return RAW if RAW in formats else next(filter(None, formats), None)

    def obstacles(self, claims: Claims) -> Iterator[Finding]:
        """Disks that others write to or stand on, and images that are disks."""
        for disk in claims.disks:
            if disk.path is not None and (why := self._why_not_written(disk, disk.path, claims.cluster_name)):
                location: Location = (*disk.location, "path")
                yield Finding(location, f"{disk.path} {why}", ErrorCode.CONFLICT)
        for image in dict.fromkeys(claims.images):
            if writer := next((use for use in self._of(image.value) if use.written and _is_kept(use)), None):
                message = f"{image.value} is a disk of {writer.whose}, which writes to it (use a copy of it)"
                yield Finding(image.location, message, ErrorCode.CONFLICT)

    def _why_not_written(self, disk: DiskClaim, path: Path, cluster: str | None) -> str | None:
        uses = self._of(path)
        if below := next((use for use in uses if _must_stay(use, cluster)), None):
            return f"stands below the disks of {below.whose}, so it is never written to (use a copy of it)"
        if other := next((use for use in uses if _is_written_by_others(use, disk, cluster)), None):
            apart = "stop it first, or use a file of its own"
            return f"is a disk of {other.whose}, which is up and writes to it ({apart})"
        return None

    def _of(self, path: Path) -> list[FileUse]:
        identity = file_identity(path)
        return self._by_file.get(identity, []) if identity is not None else []


def _must_stay(use: FileUse, cluster: str | None) -> bool:
    """A cluster's own extra disk is below layers of its own after a snapshot, and gets one more to write to."""
    return not use.written and (use.cluster != cluster or use.target == ROOT_DISK)


def _is_kept(use: FileUse) -> bool:
    """A machine of others that is off may be a template, which disks stand on; ours are written to when they start."""
    return use.is_up or use.cluster is not None


def _is_written_by_others(use: FileUse, disk: DiskClaim, cluster: str | None) -> bool:
    return use.written and use.is_up and use.cluster != cluster and not (use.shared and disk.shared)
