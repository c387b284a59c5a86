"""Snapshots on disk: one directory each, which is a snapshot once it contains a manifest.

`journal.json` exists from before the first node is paused until the manifest is written. One of our directories
without a manifest is left over from an interrupted snapshot or deletion. What others put among snapshots, or into
one, is not ours to sweep: it stays, and makes only its own name unusable.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, OperationFailed
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.marked_files import (
    CLUSTER_DIR_MODE,
    delete_file,
    directory_names,
    ensure_directory,
    read_owned,
    remove_empty_directory,
    replace_file,
)
from reconciler.files.ownership import ATTRIBUTE, OwnedKind, OwnerMark, is_owned, not_ours, read_mark
from reconciler.model import names
from reconciler.model.base import Frozen
from reconciler.model.document import Snapshot, Unknown
from reconciler.model.origin import Origin
from reconciler.model.snapshot import Manifest
from reconciler.model.status import HeldSnapshot

_MANIFEST = "manifest.json"
_JOURNAL = "journal.json"
_MODE = 0o600
_ALL = "*"
"""What is observed instead of all snapshots if their directory cannot be read; no snapshot has that name."""
_NVRAMS = "nvrams"


class UnfinishedSnapshot(Frozen):
    """A snapshot in progress, for the round that cleans up if it is interrupted."""

    snapshot_name: str
    stopped_nodes: tuple[str, ...]
    quiesced_nodes: tuple[str, ...] = ()
    request: int = 0
    manifest: Manifest | None = None
    """What will make the snapshot exist, where other hosts may agree to it before this one does."""


def snapshot_dir(overlay_dir: Path, cluster: str, name: str) -> Path:
    """Where a snapshot's manifest and memory are."""
    return names.cluster_dir(overlay_dir, cluster) / "snapshots" / name


def memory_path(overlay_dir: Path, cluster: str, name: str, node: str) -> Path:
    """The memory of one node in a snapshot."""
    return snapshot_dir(overlay_dir, cluster, name) / f"{node}.memory"


def snapshot_nvram_path(overlay_dir: Path, cluster: str, name: str, node: str) -> Path:
    """The UEFI variables of one node in a snapshot."""
    return snapshot_dir(overlay_dir, cluster, name) / f"{node}.nvram"


def observe_snapshots(overlay_dir: Path, cluster: str) -> dict[str, Snapshot | Unknown]:
    """Every snapshot of a cluster, half-made ones too. Blocking."""
    directory = _directory_of_all(overlay_dir, cluster)
    if directory.exists() and not directory.is_dir():
        return {_ALL: _unknown(not_ours(directory, cluster))}
    seen = ((name, _observe(overlay_dir, cluster, name)) for name in sorted(directory_names(directory)))
    return {name: found for name, found in seen if found is not None}


def snapshot_mark(overlay_dir: Path, cluster: str, name: str) -> OwnerMark | None:
    """The mark of a snapshot, finished or not; None if there is none of our files, or they were deleted."""
    directory = snapshot_dir(overlay_dir, cluster, name)
    for path in (directory / _MANIFEST, directory / _JOURNAL, directory):
        with suppress(FileNotFoundError, NotADirectoryError):
            if (mark := read_mark(path)) is not None and mark.cluster == cluster:
                return mark
    return None


def files_of_snapshot(overlay_dir: Path, cluster: str, name: str) -> list[Path]:
    """Everything in the directory of a snapshot; what `snapshot_mark` reads comes last."""
    directory = snapshot_dir(overlay_dir, cluster, name)
    return sorted((directory / entry for entry in directory_names(directory)), key=lambda path: path.name == _MANIFEST)


def read_manifests(overlay_dir: Path, cluster: str) -> list[Manifest]:
    """The manifests that can be read, oldest first. Blocking."""
    found: list[Manifest] = []
    for name in directory_names(_directory_of_all(overlay_dir, cluster)):
        with suppress(OperationFailed, Conflict):  # it is observed as unknown, and reported by every round
            manifest = _read_manifest(snapshot_dir(overlay_dir, cluster, name), cluster)
            found.extend([manifest] if manifest is not None else [])
    return sorted(found, key=lambda manifest: (manifest.created_at, manifest.request))


def read_held(overlay_dir: Path, cluster: str) -> tuple[HeldSnapshot, ...]:
    """Add the size of each file in bytes, for other hosts, which cannot see the files. Blocking."""
    return tuple(HeldSnapshot(manifest=of, sizes=_sizes(of)) for of in read_manifests(overlay_dir, cluster))


def _sizes(manifest: Manifest) -> dict[str, int]:
    parts = manifest.nodes.values()
    files = [disk.path for of in parts for disk in of.disks.values()] + [of.memory for of in parts if of.memory]
    sizes: dict[str, int] = {}
    for file in files:
        with suppress(OSError):  # it is reported by every round
            sizes[str(file)] = file.stat().st_blocks * 512
    return sizes


def begin_snapshot(overlay_dir: Path, cluster: str, journal: UnfinishedSnapshot, origin: Origin | None = None) -> None:
    """Record which nodes are about to be paused. If that fails, on a full disk, nothing is left to clean up.

    Otherwise each round would do something, and none would count as failing again.
    """
    directory = snapshot_dir(overlay_dir, cluster, journal.snapshot_name)
    ensure_our_directory(names.cluster_dir(overlay_dir, cluster), cluster, origin)
    ensure_directory(directory.parent, mode=CLUSTER_DIR_MODE)
    ensure_our_directory(directory, cluster, origin)
    try:
        _write(directory / _JOURNAL, journal, cluster, origin)
    except BaseException:
        remove_snapshot(overlay_dir, cluster, journal.snapshot_name)
        raise


def note_manifest(
    overlay_dir: Path, cluster: str, journal: UnfinishedSnapshot, manifest: Manifest, origin: Origin | None
) -> None:
    """Keep in the journal what the snapshot consists of, so that another process can finish it."""
    path = snapshot_dir(overlay_dir, cluster, journal.snapshot_name) / _JOURNAL
    _write(path, journal.model_copy(update={"manifest": manifest}), cluster, origin)


def finish_snapshot(overlay_dir: Path, manifest: Manifest, origin: Origin | None = None) -> None:
    """Make a snapshot exist. All nodes to be resumed are running, so there is nothing left to clean up.

    The journal goes last: until the manifest is there, only the journal says what a snapshot of several hosts is here.
    """
    cluster = manifest.cluster_name
    directory = snapshot_dir(overlay_dir, cluster, manifest.snapshot_name)
    kept = nodes_with_nvram(overlay_dir, cluster, manifest.snapshot_name, manifest.nodes)
    _write(directory / _MANIFEST, manifest, cluster, origin, {_NVRAMS: str(len(kept))})
    delete_file(directory / _JOURNAL, cluster)


def nodes_with_nvram(overlay_dir: Path, cluster: str, name: str, nodes: Iterable[str]) -> list[str]:
    """The nodes for which something is where a snapshot's UEFI variables belong."""
    return [node for node in nodes if os.path.lexists(snapshot_nvram_path(overlay_dir, cluster, name, node))]


def kept_nvrams(overlay_dir: Path, cluster: str, name: str) -> int | None:
    """For how many nodes a snapshot includes UEFI variables; None if it does not say. Raises `OSError`."""
    mark = read_mark(snapshot_dir(overlay_dir, cluster, name) / _MANIFEST)
    told = "" if mark is None else mark.facts.get(_NVRAMS, "")
    return int(told) if told.isascii() and told.isdigit() else None


def read_journal(overlay_dir: Path, cluster: str, name: str) -> UnfinishedSnapshot | None:
    """What an interrupted snapshot was about to do; None if it did not get that far."""
    content = read_owned(snapshot_dir(overlay_dir, cluster, name) / _JOURNAL, cluster)
    try:
        return None if content is None else UnfinishedSnapshot.model_validate_json(content)
    except ValidationError:  # it is not known which nodes were to be paused: those that are halted are reported
        return None


def remove_snapshot(overlay_dir: Path, cluster: str, name: str) -> None:
    """Delete a snapshot: its manifest first, which ends it, then all our files beside it, the journal last.

    A journal beside a manifest was left behind, and goes before it: nothing finishes a snapshot that was deleted. If
    there are files of others in it, the directory is left to them, and is no longer ours.
    """
    directory = snapshot_dir(overlay_dir, cluster, name)
    if not directory.is_dir() or directory.is_symlink():
        return
    if os.path.lexists(directory / _MANIFEST):
        delete_file(directory / _JOURNAL, cluster)
    delete_file(directory / _MANIFEST, cluster)
    try:
        for path in sorted(directory.iterdir(), key=lambda path: path.name == _JOURNAL):
            if is_owned(path, cluster) and not path.is_dir():
                path.unlink()
        _leave(directory, cluster)
    except OSError as error:
        raise OperationFailed(f"cannot remove {directory}: {error.strerror}") from error
    remove_empty_directory(directory.parent)


def remove_traces(overlay_dir: Path, cluster: str) -> None:
    """Remove empty directories of snapshots, and then the cluster's own if nothing is left in it."""
    directory = _directory_of_all(overlay_dir, cluster)
    for path in (*(directory / name for name in directory_names(directory)), directory, directory.parent):
        if path.is_dir() and not path.is_symlink():
            remove_empty_directory(path)


def _leave(directory: Path, cluster: str) -> None:
    if directory_names(directory):
        if is_owned(directory, cluster):
            os.removexattr(directory, ATTRIBUTE)
    else:
        directory.rmdir()


def _directory_of_all(overlay_dir: Path, cluster: str) -> Path:
    return names.cluster_dir(overlay_dir, cluster) / "snapshots"


def _observe(overlay_dir: Path, cluster: str, name: str) -> Snapshot | Unknown | None:
    directory = snapshot_dir(overlay_dir, cluster, name)
    try:
        manifest = _read_manifest(directory, cluster)
        if manifest is None:
            return _half_made(directory, cluster)
    except OperationFailed as error:
        return Unknown(unknown=str(error), code=ErrorCode.SNAPSHOT_FAILED)
    except Conflict as error:
        return _unknown(error)
    except OSError as error:
        return Unknown(unknown=f"{directory} cannot be read: {error.strerror}", code=ErrorCode.OPERATION_FAILED)
    return Snapshot(request=manifest.request, include_memory=manifest.include_memory, nodes=manifest.nodes)


def _read_manifest(directory: Path, cluster: str) -> Manifest | None:
    content = read_owned(directory / _MANIFEST, cluster)
    if content is None:
        return None
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise OperationFailed(
            f"the snapshot manifest {directory / _MANIFEST} is damaged: {error.error_count()} fields cannot be read",
            hint="restore the file, or delete the snapshot",
        ) from error


def _half_made(directory: Path, cluster: str) -> Snapshot | None:
    """What is left of an interrupted snapshot; None for an empty directory, which belongs to nobody.

    A directory is ours if it is marked, or has our journal. Earlier versions marked no directories, but every file in
    them. Raises `Conflict` if it is not ours.
    """
    if not directory.is_dir() or directory.is_symlink():
        raise not_ours(directory, cluster)
    entries = sorted(directory.iterdir())
    marked = [entry for entry in entries if is_owned(entry, cluster)]
    is_ours = is_owned(directory, cluster) or any(entry.name == _JOURNAL for entry in marked)
    if is_ours or (entries and marked == entries):
        return Snapshot(request=0, include_memory=False, half_made=True)
    if not entries:
        return None
    raise not_ours(next(entry for entry in entries if entry not in marked), cluster)


def _unknown(error: Conflict) -> Unknown:
    return Unknown(unknown=str(error), code=ErrorCode.CONFLICT, terminal=True)


def _write(
    path: Path, content: Frozen, cluster: str, origin: Origin | None, facts: Mapping[str, str] | None = None
) -> None:
    mark = OwnerMark(cluster=cluster, kind=OwnedKind.MANIFEST, facts=dict(facts or {}), origin=origin)
    replace_file(path, content.model_dump_json(indent=2).encode(), mark, mode=_MODE)
