"""Which files of the host vmcluster keeps, so that nobody's copy takes their place. Looks, touches nothing.

What is kept is told by device and inode, so links and other mounts lead to the same answer; and by its mark, so also
where the record that names it cannot be read.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.files.ownership import OwnedKind, copied_mark, read_mark
from reconciler.files.roots import Held, PlaceToMake
from reconciler.host.disks.files_in_use import FileIdentity, FilesInUse, file_identity
from reconciler.host.disks.given_format import noted_format
from reconciler.model.file_use import FileUse
from reconciler.model.record import ClusterRecord


@dataclass(frozen=True, slots=True)
class Kept:
    """What no copy takes the place of: `directories` with all that is in them but `open_to_all`, single `files`."""

    directories: Iterable[Path]
    files: Iterable[Path]
    open_to_all: Path
    uses: Iterable[FileUse]


def files_of_record(record: ClusterRecord) -> Iterator[Path]:
    """The files outside of its directory that a cluster stands on."""
    yield record.spec.ssh.key_path
    for node in record.spec.nodes.values():
        yield node.base_image.path
        yield from (disk.path for disk in node.extra_disks.values())
        yield from node.boot.files if node.boot else ()


def why_kept(place: PlaceToMake, kept: Kept) -> str | None:
    """Whose the place is that a copy would take; None where it is nobody's. Blocking. Raises `OSError`."""
    if _is_kept_file(place, kept):
        return "the files that vmcluster keeps"
    return _whose_directory(place, kept)


def _is_kept_file(place: PlaceToMake, kept: Kept) -> bool:
    if place.missing:
        return False
    names = {identity for path in (*kept.directories, *kept.files) for identity in _names_of(path)}
    if _identity_of_name(place.above, place.name) in names:
        return True
    if (status := place.status()) is None:
        return False
    target = Path(f"/proc/self/fd/{place.above.fileno()}") / place.name
    identities = {file_identity(path) for path in kept.files}
    is_known = (status.st_dev, status.st_ino, "") in identities or bool(FilesInUse(kept.uses).of(target))
    return is_known or _is_marked(target)


def _names_of(path: Path) -> Iterator[FileIdentity]:
    """The name itself, and those of the links on the way to it: whichever is replaced leads elsewhere."""
    for name in (path, *(above for above in path.parents if above.is_symlink())):
        with suppress(OSError):
            yield _identity_of_name(name.parent, name.name)


def _identity_of_name(directory: Held | Path, name: str) -> FileIdentity:
    status = os.fstat(directory.fileno()) if isinstance(directory, Held) else directory.stat()
    return status.st_dev, status.st_ino, name


def _is_marked(path: Path) -> bool:
    """Ours, also one that a copy has; of a disk of the user's the format that a machine writes it as."""
    if path.is_symlink():
        return False
    return read_mark(path) is not None or copied_mark(path) is not None or noted_format(path) is not None


def _whose_directory(place: PlaceToMake, kept: Kept) -> str | None:
    to_be = (path for path in kept.directories if place.real.is_relative_to(os.path.realpath(path)))
    is_open = place.real.is_relative_to(os.path.realpath(kept.open_to_all))
    return (None if is_open else _named(next(to_be, None))) or _whose_above(place, kept)


def _named(directory: Path | None) -> str | None:
    return None if directory is None else f"the files that vmcluster keeps in {directory}"


def _whose_above(place: PlaceToMake, kept: Kept) -> str | None:
    kept_directories = {file_identity(path): path for path in kept.directories}
    open_to_all = file_identity(kept.open_to_all)
    for directory in _upward(place.above):
        identity = file_identity(Path(f"/proc/self/fd/{directory.fileno()}"))
        if identity == open_to_all:
            return None
        if identity in kept_directories:
            return _named(kept_directories[identity])
        mark = read_mark(f"/proc/self/fd/{directory.fileno()}/.")  # as text: a Path leaves the dot out
        if mark is not None and mark.kind is OwnedKind.DIRECTORY:
            return f"the files of cluster {mark.cluster}"
    return None


def _upward(directory: Held) -> Iterator[Held]:
    """The directory and each above it, as the kernel has them now, whatever their names."""
    at = directory
    while True:
        yield at
        above = Held(os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=at.fileno()))
        if os.path.samestat(os.fstat(above.fileno()), os.fstat(at.fileno())):
            return
        at = above
