"""Where a topology lets files be made, and which of its disks are one file by two names. Looks, touches nothing."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from reconciler.desired.claims import Claims
from reconciler.files.exposure import exposure_of
from reconciler.host.disks.uses import FileIdentity, file_identity, mark_behind
from reconciler.host.ownership import OwnedKind
from reconciler.source.problems import Finding, Location, yaml_path

_OF_THE_KERNEL = (Path("/dev"), Path("/proc"), Path("/sys"))
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_NAME_MAX_BYTES = 200
"""Files are made and put away under longer names beside their own, and a name has at most 255 bytes."""


def find_places(claims: Claims) -> Iterator[Finding]:
    """What is wrong with the places of disks and layers, whether they are there yet or not."""
    if claims.overlay_dir is not None and (why := why_no_directory(claims.overlay_dir) or _exposed(claims)):
        yield Finding(("overlay_dir",), why)
    for disk in claims.disks:
        if disk.path is not None and len(os.fsencode(disk.path.name)) > _NAME_MAX_BYTES:
            message = f"{disk.path.name[:20]}... is too long a name for a disk (use at most {_NAME_MAX_BYTES} bytes)"
            yield Finding((*disk.location, "path"), message)
    yield from _files_with_two_names(claims)


def find_kept(claims: Claims, places: Collection[Path]) -> Iterator[Finding]:
    """Disks among the files of any cluster, or in one of the places where we keep other things; links count."""
    for disk in claims.disks:
        if disk.path is not None and (whose := _who_keeps(Path(os.path.realpath(disk.path)), places)):
            yield Finding((*disk.location, "path"), f"{disk.path} lies among the files of {whose} (use another place)")


def _who_keeps(path: Path, places: Collection[Path]) -> str | None:
    if kept := next((place for place in places if path.is_relative_to(os.path.realpath(place))), None):
        return f"vmcluster in {kept}"
    for directory in path.parents:
        mark = mark_behind(directory)
        if mark is not None and mark.kind is OwnedKind.DIRECTORY:
            return f"cluster {mark.cluster} in {directory}"
    return None


def _exposed(claims: Claims) -> str | None:
    """How others could exchange the layers of the cluster."""
    assert claims.overlay_dir is not None
    directory = claims.overlay_dir / claims.cluster_name if claims.cluster_name else claims.overlay_dir
    try:
        exposure = exposure_of(claims.overlay_dir) or exposure_of(directory)
    except OSError as error:
        return f"{directory} cannot be looked at: {error.strerror} (use another directory)"
    return None if exposure is None else f"{exposure} (`{exposure.command}`, or use another directory)"


def why_no_directory(path: Path) -> str | None:
    """Why no files can be made in a directory, which itself is made where it is missing; None where they can."""
    if any(path.is_relative_to(place) for place in _OF_THE_KERNEL) and not path.is_relative_to(_SHARED_MEMORY):
        return f"{path} is a place of the kernel's own, where no disks can be kept (use another directory)"
    try:
        there = _nearest(path)
        if not there.is_dir():
            return f"{there} is there and is no directory (use another path)"
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            return f"{there} lies on a file system that is mounted read-only (use another directory)"
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror} (use another directory)"
    return None


def _nearest(path: Path) -> Path:
    """The path, or what there is of the directories above it; a link that leads nowhere is there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(path.parent)
    return path


def _files_with_two_names(claims: Claims) -> Iterator[Finding]:
    """Disks that are, by a link, the file of another disk or one that is never written to."""
    names: dict[FileIdentity, tuple[Path, Location]] = {}
    for claim in (*claims.boot_files, *claims.images):
        if identity := file_identity(claim.value):
            names.setdefault(identity, (claim.value, claim.location))
    read_only = frozenset(names)
    for disk in claims.disks:
        if disk.path is None or (identity := file_identity(disk.path)) is None:
            continue
        path, location = names.setdefault(identity, (disk.path, disk.location))
        if path != disk.path:
            kind = "which is never written to" if identity in read_only else "which is another disk"
            message = f"{disk.path} is the file that {yaml_path(location)} names, {kind} (use a file of its own)"
            yield Finding((*disk.location, "path"), message)
