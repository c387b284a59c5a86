"""Snapshots that forks stand on: each fork's directory says which, and what that snapshot's disks stand on.

A frozen layer never changes, and neither does what is below it, so a fork reads that once. The file is there before the
fork's first layer and goes after its last one: as long as it exists, no cluster deletes the snapshot that it names.
"""

import threading
from pathlib import Path

from pydantic import ValidationError

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, Conflict, OperationFailed, SnapshotLost
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.marked_files import delete_file, directory_names, read_owned, replace_file
from reconciler.files.ownership import OwnedKind, OwnerMark, copied_mark, read_mark
from reconciler.host.disks.layers import observe_layers
from reconciler.host.disks.manifests import observe_snapshots, remove_snapshot
from reconciler.model import names
from reconciler.model.base import Frozen
from reconciler.model.document import BackingFile, Layer, LentFiles, Snapshot, Unknown, files_below
from reconciler.model.fields import NodeName
from reconciler.model.origin import Origin
from reconciler.model.record import ForkedFrom
from reconciler.model.snapshot import HostFile, SnapshotNode

_FILE = "forked-from.json"
_MODE = 0o600
_CLUSTER, _SNAPSHOT = "cluster", "snapshot"

_ONE_AT_A_TIME = threading.Lock()
"""No snapshot is deleted while a fork begins to stand on it; only one process at a time acts on a host."""

Below = dict[Path, tuple[BackingFile, ...]]
"""What files of other clusters stand on."""


class LentSnapshot(Frozen):
    """A snapshot of another cluster as the fork that stands on it keeps it."""

    snapshot_name: str
    include_memory: bool
    nodes: dict[NodeName, SnapshotNode]
    below: dict[HostFile, tuple[BackingFile, ...]]


def observe_lent(overlay_dir: Path, cluster: str, of: ForkedFrom | None) -> dict[str, Snapshot | Unknown]:
    """The snapshot that a fork holds, or else the one that it is to stand on; nothing if that is gone. Blocking."""
    try:
        if (held := read_held_snapshot(overlay_dir, cluster)) is not None:
            return {held.snapshot_name: _document(held, held=True)}
    except ClusterError as error:
        return {of.snapshot if of else _FILE: Unknown(unknown=str(error), code=error.code, terminal=error.terminal)}
    if of is None:
        return {}
    found = observe_snapshots(overlay_dir, of.cluster).get(of.snapshot)
    if found is None or (isinstance(found, Snapshot) and found.half_made):
        return {}
    if isinstance(found, Unknown):
        return {of.snapshot: found}
    lent = LentSnapshot(
        snapshot_name=of.snapshot,
        include_memory=found.include_memory,
        nodes=found.nodes,
        below=_below(found, overlay_dir, of.cluster),
    )
    return {of.snapshot: _document(lent, held=False)}


def hold_snapshot(overlay_dir: Path, cluster: str, of: ForkedFrom, found: Snapshot, origin: Origin | None) -> None:
    """Say in the fork's directory what it stands on. Blocking.

    Raises `Conflict` if the directory is somebody else's.
    """
    lent = LentSnapshot(
        snapshot_name=of.snapshot, include_memory=found.include_memory, nodes=found.nodes, below=found.below
    )
    facts = {_CLUSTER: of.cluster, _SNAPSHOT: of.snapshot}
    mark = OwnerMark(cluster=cluster, kind=OwnedKind.MANIFEST, facts=facts, origin=origin)
    with _ONE_AT_A_TIME:
        there = observe_snapshots(overlay_dir, of.cluster).get(of.snapshot)
        if not isinstance(there, Snapshot) or there.nodes != found.nodes:
            raise SnapshotLost(f"snapshot {of} was deleted meanwhile", hint="destroy the fork, and fork another one")
        ensure_our_directory(names.cluster_dir(overlay_dir, cluster), cluster, origin)
        replace_file(_path(overlay_dir, cluster), lent.model_dump_json(indent=2).encode(), mark, mode=_MODE)


def release_snapshot(overlay_dir: Path, cluster: str) -> None:
    """Let the snapshot go that a fork stood on. Blocking."""
    delete_file(_path(overlay_dir, cluster), cluster)


def remove_unless_held(overlay_dir: Path, cluster: str, name: str) -> None:
    """Delete a snapshot. Blocking. Raises `Conflict` if a fork has come to stand on it since that was planned.

    Raises `OperationFailed` if it cannot be read what a fork stands on.
    """
    with _ONE_AT_A_TIME:
        forks = observe_forks(overlay_dir, cluster)
        for of in forks.values():
            if isinstance(of, Unknown):
                raise OperationFailed(f"snapshot {name!r} stays: {of.unknown}")
        if holders := [other for other, of in forks.items() if isinstance(of, LentFiles) and of.snapshot == name]:
            raise Conflict(f"snapshot {name!r} stays, as {', '.join(holders)} stand on it", hint="destroy them first")
        remove_snapshot(overlay_dir, cluster, name)


def observe_forks(overlay_dir: Path, cluster: str) -> dict[str, LentFiles | Unknown]:
    """What each fork of a cluster stands on, by its own word, whatever is left of the snapshot.

    Unknown is a fork of which that cannot be read. Blocking; one look at a mark for each cluster there is.
    """
    others = filter(names.is_label, sorted(directory_names(overlay_dir)))  # no `lost+found`
    found = ((other, _lent_to(overlay_dir, other, cluster)) for other in others)
    return {other: of for other, of in found if of is not None}


def _lent_to(overlay_dir: Path, other: str, cluster: str) -> LentFiles | Unknown | None:
    path = _path(overlay_dir, other)
    try:
        mark = read_mark(path) or copied_mark(path)  # a restored fork holds, before it is adopted too
        if mark is None or (mark.cluster, mark.facts.get(_CLUSTER)) != (other, cluster):
            return None
        held = read_held_snapshot(overlay_dir, other)
    except (FileNotFoundError, NotADirectoryError):  # no fork, or not a cluster's directory
        return None
    except ClusterError as error:
        return Unknown(unknown=str(error), code=ErrorCode.OPERATION_FAILED)  # even where it is a conflict, it matters
    except OSError as error:
        told = f"{path}, which says what a fork stands on, cannot be read: {error}"
        return Unknown(unknown=told, code=ErrorCode.OPERATION_FAILED)
    if held is None:
        return None
    disks = tuple(disk.path for node in held.nodes.values() for disk in node.disks.values())
    below = (file.path for files in held.below.values() for file in files)
    return LentFiles(snapshot=held.snapshot_name, disks=disks, below=tuple(dict.fromkeys(below)))


def read_held_snapshot(overlay_dir: Path, cluster: str) -> LentSnapshot | None:
    """What a fork's directory says that it stands on. Raises `Conflict`, or `SnapshotLost` if it is damaged."""
    path = _path(overlay_dir, cluster)
    content = read_owned(path, cluster)
    try:
        return None if content is None else LentSnapshot.model_validate_json(content)
    except ValidationError as error:
        raise SnapshotLost(
            f"{path}, which says what the fork stands on, is damaged", hint="restore it, or destroy the fork"
        ) from error


def _document(lent: LentSnapshot, *, held: bool) -> Snapshot:
    return Snapshot(request=0, include_memory=lent.include_memory, nodes=lent.nodes, held=held, below=lent.below)


def _below(found: Snapshot, overlay_dir: Path, lender: str) -> Below:
    """What the frozen disks of a snapshot stand on, down to the image; a lender may itself be a fork."""
    layers = observe_layers(overlay_dir, lender)
    held = read_held_snapshot(overlay_dir, lender)
    further = held.below if held is not None else {}
    below: Below = {}
    for disk in (disk for node in found.nodes.values() for disk in node.disks.values()):
        layer = layers.get(str(disk.path))
        own = files_below(layer, layers) if isinstance(layer, Layer) else ()
        below[disk.path] = (*own, *further.get(own[-1].path if own else disk.path, ()))
    return below


def _path(overlay_dir: Path, cluster: str) -> Path:
    return names.cluster_dir(overlay_dir, cluster) / _FILE
