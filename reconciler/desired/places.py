"""Where a topology has files created, and which of its disks are the same file by two names. Reads only."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from reconciler.desired.topology_values import TopologyValues
from reconciler.files.exposure import exposure_of
from reconciler.files.ownership import OwnedKind
from reconciler.host.disks.files_in_use import FileIdentity, file_identity, mark_behind
from reconciler.source.problems import Finding, Location, yaml_path

_ROOT = Path("/")
_OF_THE_KERNEL = (Path("/dev"), Path("/proc"), Path("/sys"))
_OF_THE_SYSTEM = tuple(
    Path(place) for place in ("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr")
)
_LOCAL = Path("/usr/local")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_NAME_MAX_BYTES = 200
"""Files are created and put away under longer names beside their own, and a name has at most 255 bytes."""


def find_places(values: TopologyValues) -> Iterator[Finding]:
    """What is wrong with the paths of disks and layers, whether they exist yet or not."""
    if values.overlay_dir is not None and (why := why_no_directory(values.overlay_dir) or _exposed(values)):
        yield Finding(("overlay_dir",), why)
    for disk in values.disks:
        if disk.path is not None and len(os.fsencode(disk.path.name)) > _NAME_MAX_BYTES:
            message = (
                f"{disk.path.name[:20]}... is too long a file name for a disk (use at most {_NAME_MAX_BYTES} bytes)"
            )
            yield Finding((*disk.location, "path"), message)
    yield from _files_with_two_names(values)


def find_kept(values: TopologyValues, places: Collection[Path]) -> Iterator[Finding]:
    """Disks or layers among the files of any cluster, disks where we keep something else; links are followed."""
    if values.overlay_dir is not None and (whose := _whose_files(values.overlay_dir / "CLUSTER")):
        yield Finding(("overlay_dir",), f"{values.overlay_dir} is among the files of {whose} (use another directory)")
    for disk in values.disks:
        if disk.path is not None and (whose := _who_keeps(Path(os.path.realpath(disk.path)), places)):
            yield Finding((*disk.location, "path"), f"{disk.path} is among the files of {whose} (use another path)")


def _who_keeps(path: Path, places: Collection[Path]) -> str | None:
    if kept := next((place for place in places if path.is_relative_to(os.path.realpath(place))), None):
        return f"vmcluster in {kept}"
    return _whose_files(path)


def _whose_files(path: Path) -> str | None:
    for directory in Path(os.path.realpath(path)).parents:
        mark = mark_behind(directory)
        if mark is not None and mark.kind is OwnedKind.DIRECTORY:
            return f"cluster {mark.cluster} in {directory}"
    return None


def _exposed(values: TopologyValues) -> str | None:
    """How other users could replace the cluster's layers."""
    assert values.overlay_dir is not None
    directory = values.overlay_dir / values.cluster_name if values.cluster_name else values.overlay_dir
    try:
        exposure = exposure_of(values.overlay_dir) or exposure_of(directory)
    except OSError as error:
        return f"{directory} cannot be read: {error.strerror} (use another directory)"
    return None if exposure is None else f"{exposure} (`{exposure.command}`, or use another directory)"


def why_no_directory(path: Path) -> str | None:
    """Why no files can be created in a directory, which is itself created if missing; None if they can."""
    if whose := _whose_place(Path(os.path.realpath(path))):
        return f"{path} belongs to {whose} and cannot hold disks (use another directory)"
    try:
        there = _nearest(path)
        if not there.is_dir():
            return f"{there} exists and is not a directory (use another path)"
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            return f"{there} is on a file system that is mounted read-only (use another directory)"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror} (use another directory)"
    return None


def _whose_place(path: Path) -> str | None:
    if any(path.is_relative_to(place) for place in _OF_THE_KERNEL) and not path.is_relative_to(_SHARED_MEMORY):
        return "the kernel"
    is_system = any(path.is_relative_to(place) for place in _OF_THE_SYSTEM) and not path.is_relative_to(_LOCAL)
    return "the operating system" if is_system or path == _ROOT else None


def _nearest(path: Path) -> Path:
    """The path, or the lowest existing directory above it; a dangling link counts as existing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _nearest(path.parent)
    return path


def _files_with_two_names(values: TopologyValues) -> Iterator[Finding]:
    """Disks that are, through a link, the file of another disk or one that is never written to."""
    names: dict[FileIdentity, tuple[Path, Location]] = {}
    for located in (*values.boot_files, *values.images):
        if identity := file_identity(located.value):
            names.setdefault(identity, (located.value, located.location))
    read_only = frozenset(names)
    for disk in values.disks:
        if disk.path is None or (identity := file_identity(disk.path)) is None:
            continue
        path, location = names.setdefault(identity, (disk.path, disk.location))
        if path != disk.path:
            kind = "which is never written to" if identity in read_only else "which is another disk"
            message = f"{disk.path} is the same file as {yaml_path(location)}, {kind} (use a separate file)"
            yield Finding((*disk.location, "path"), message)
