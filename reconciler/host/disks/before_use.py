"""The last check of a machine's disks before QEMU opens them: a planned file may have been replaced since.

libvirt is given every disk by its path. So each file is opened and identified here an instant before; a file that was
replaced or linked since it was observed keeps the machine from starting.
"""

import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from reconciler.errors import ClusterError, Conflict, OperationFailed
from reconciler.files.exposure import require_unexposed
from reconciler.files.ownership import OwnedKind, OwnerMark, not_ours, read_mark
from reconciler.host.disks.files_in_use import FilesInUse, mark_behind
from reconciler.host.disks.given_format import note_format
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.layers import observe_layer
from reconciler.host.magic import RAW
from reconciler.model.document import BackingFile, DomainDisk, Layer, Unknown
from reconciler.model.file_use import FileUse
from reconciler.model.names import parse_layer_name


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """What a node's machine writes to and reads: its disks by target, and `plain` files such as its console's log.

    `given` are the user's files among the disks, `lenders` the clusters on whose frozen layers a fork stands.
    """

    cluster: str
    node: str
    disks: Mapping[str, DomainDisk]
    given: Collection[Path]
    plain: Collection[Path] = ()
    lenders: Collection[str] = ()


def require_usable(of: MachineFiles, uses: Iterable[FileUse]) -> None:
    """Raise `Conflict` unless every file is what the definition expects; record the formats of the user's disks.

    Blocking. `uses` are the files of the host's machines and of other records.
    """
    in_use = FilesInUse(uses)
    try:
        for target, disk in of.disks.items():
            _require_disk(target, disk, of, in_use)
        for path in of.plain:
            require_unexposed(path.parent)
            _require_plain(path, in_use)
    except OSError as error:
        raise OperationFailed(f"cannot check a disk: {error}", node=of.node) from error
    except ClusterError as error:
        error.node = error.node or of.node
        raise


def _require_disk(target: str, disk: DomainDisk, of: MachineFiles, in_use: FilesInUse) -> None:
    if disk.read_only:
        return _require_seed(disk.path, of)
    if disk.path in of.given:
        _require_free(disk, of, in_use)
    else:
        below = next(iter(disk.backing), None)
        _require_layer(BackingFile(path=disk.path, format=disk.format), below, target, of, of.cluster)
    for file, below in zip_longest(disk.backing, disk.backing[1:]):
        owner = None if file.path in of.given else _owner(file.path, (of.cluster, *of.lenders))
        if owner is not None:
            _require_layer(file, below, target, of, owner)
        else:
            _require_format(file.path, file.format)
    return None


def _require_seed(path: Path, of: MachineFiles) -> None:
    mark = _mark(path)
    if mark is None or (mark.cluster, mark.node, mark.kind) != (of.cluster, of.node, OwnedKind.SEED):
        raise not_ours(path, of.cluster)


def _require_free(disk: DomainDisk, of: MachineFiles, in_use: FilesInUse) -> None:
    """Check one of the user's files that the machine writes to."""
    if mark := mark_behind(disk.path):
        raise Conflict(f"{disk.path} was created for cluster {mark.cluster}, so it is not yours")
    if why := in_use.why_not_written(disk.path, of.cluster, shared=disk.shared):
        raise Conflict(f"{disk.path} {why}")
    _require_format(disk.path, disk.format)
    note_format(disk.path, disk.format)


def _require_format(path: Path, wanted: str) -> None:
    facts = read_image_facts(path, wanted)
    if facts.format != wanted:
        raise Conflict(f"{path} is {facts.format}, but the machine expects {wanted}", hint="put the old file back")
    if facts.unusable is not None:
        raise Conflict(f"{path} {facts.unusable.format(path=path)}")
    if facts.backing is not None:
        raise Conflict(f"{path} has a backing file, {facts.backing}, that nobody requested")


def _owner(path: Path, clusters: Collection[str]) -> str | None:
    """Which of the clusters a file is a layer of, or should be by its name and place; None for any other file."""
    if path.parent.name in clusters and parse_layer_name(path.name) is not None:
        return path.parent.name
    mark = _mark(path)
    return mark.cluster if mark is not None and mark.cluster in clusters else None


def _require_layer(file: BackingFile, below: BackingFile | None, target: str, of: MachineFiles, owner: str) -> None:
    found = observe_layer(str(file.path), owner)
    if found is None:
        raise Conflict(f"{file.path} no longer exists", hint="put it back, or revert to a snapshot without it")
    if isinstance(found, Unknown):
        raise Conflict(found.unknown)
    if why := found.misplaced or next(_differences(found, file, below, (of.node, target)), ""):
        raise Conflict(f"{file.path} is not the file that was created there: {why}", hint="put the right file back")


def _differences(found: Layer, file: BackingFile, below: BackingFile | None, belongs: tuple[str, str]) -> Iterator[str]:
    """How a layer differs from what a definition expects; several nodes write to a raw one."""
    if found.format != file.format:
        yield f"it is {found.format}, but the machine expects {file.format}"
    if (found.node, found.disk) != belongs and found.format != RAW:
        yield f"it was created for disk {found.disk} of node {found.node}"
    if found.base_changed:
        yield "the image below it was replaced"
    on = None if found.backing is None else BackingFile(path=found.backing, format=found.backing_format or "")
    if on != below and not found.flattening:
        yield f"it stands on {_named(on)}, not on {_named(below)}"


def _named(file: BackingFile | None) -> str:
    return "nothing" if file is None else f"{file.path} ({file.format})"


def _require_plain(path: Path, in_use: FilesInUse) -> None:
    """libvirt creates the file if it is missing, and follows links."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise Conflict(f"{path} is not a file created for this machine", hint="move it away")
    if uses := in_use.of(path):
        raise Conflict(f"{path} is a disk of {uses[0].whose}", hint="move it away")


def _mark(path: Path) -> OwnerMark | None:
    try:
        return read_mark(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
