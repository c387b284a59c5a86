"""Snapshots on disk: a directory each, which the manifest in it makes a snapshot.

`journal.json` is there from before the first node is stopped until the manifest is written. A directory without
a manifest is what an interrupted snapshot, or an interrupted deletion, has left.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import Conflict, ErrorCode, OperationFailed
from reconciler.host.files import CLUSTER_DIR_MODE, delete_file, ensure_directory, names_in, read_owned, replace_file
from reconciler.host.ownership import OwnedKind, OwnerMark, is_owned, not_ours
from reconciler.model import names
from reconciler.model.base import Frozen
from reconciler.model.document import Snapshot, Unknown
from reconciler.model.snapshot import Manifest

_MANIFEST = "manifest.json"
_JOURNAL = "journal.json"
_MODE = 0o600


class Journal(Frozen):
    """What is being done, for whoever has to clear up after it."""

    snapshot_name: str
    stopped_nodes: tuple[str, ...]
    quiesced_nodes: tuple[str, ...] = ()


def snapshot_dir(overlay_dir: Path, cluster: str, name: str) -> Path:
    """Where a snapshot's manifest and memory are."""
    return names.cluster_dir(overlay_dir, cluster) / "snapshots" / name


def memory_path(overlay_dir: Path, cluster: str, name: str, node: str) -> Path:
    """The memory of one node in a snapshot."""
    return snapshot_dir(overlay_dir, cluster, name) / f"{node}.memory"


def nvram_path(overlay_dir: Path, cluster: str, name: str, node: str) -> Path:
    """UEFI's variables of one node in a snapshot."""
    return snapshot_dir(overlay_dir, cluster, name) / f"{node}.nvram"


def observe_snapshots(overlay_dir: Path, cluster: str) -> dict[str, Snapshot | Unknown]:
    """Every snapshot of a cluster, half-made ones too. Blocking."""
    found = names_in(names.cluster_dir(overlay_dir, cluster) / "snapshots")
    return {name: _observe(overlay_dir, cluster, name) for name in sorted(found)}


def read_manifests(overlay_dir: Path, cluster: str) -> list[Manifest]:
    """The manifests that can be read, oldest first. Blocking."""
    found: list[Manifest] = []
    for name in names_in(names.cluster_dir(overlay_dir, cluster) / "snapshots"):
        with suppress(OperationFailed, Conflict):  # it is observed as unknown, and reported by every round
            manifest = _read_manifest(snapshot_dir(overlay_dir, cluster, name), cluster)
            found.extend([manifest] if manifest is not None else [])
    return sorted(found, key=lambda manifest: (manifest.created_at, manifest.request))


def begin_snapshot(overlay_dir: Path, cluster: str, journal: Journal) -> None:
    """Write down which nodes are about to be stopped."""
    directory = snapshot_dir(overlay_dir, cluster, journal.snapshot_name)
    for path in (names.cluster_dir(overlay_dir, cluster), directory.parent, directory):
        ensure_directory(path, mode=CLUSTER_DIR_MODE)
    _write(directory / _JOURNAL, journal, cluster)


def finish_snapshot(overlay_dir: Path, manifest: Manifest) -> None:
    """Make a snapshot exist. Whoever had to be let run on runs, so there is nothing to be cleared up any more."""
    cluster = manifest.cluster_name
    directory = snapshot_dir(overlay_dir, cluster, manifest.snapshot_name)
    delete_file(directory / _JOURNAL, cluster)
    _write(directory / _MANIFEST, manifest, cluster)


def read_journal(overlay_dir: Path, cluster: str, name: str) -> Journal | None:
    """What an interrupted snapshot was about to do; None where it did not get so far."""
    content = read_owned(snapshot_dir(overlay_dir, cluster, name) / _JOURNAL, cluster)
    return None if content is None else Journal.model_validate_json(content)


def remove_snapshot(overlay_dir: Path, cluster: str, name: str) -> None:
    """Delete a snapshot: its manifest first, which ends it, then everything beside it."""
    directory = snapshot_dir(overlay_dir, cluster, name)
    if not directory.is_dir():
        return
    delete_file(directory / _MANIFEST, cluster)
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise OperationFailed(f"cannot remove {directory}: {error.strerror}") from error
    if not names_in(directory.parent):
        directory.parent.rmdir()


def _observe(overlay_dir: Path, cluster: str, name: str) -> Snapshot | Unknown:
    directory = snapshot_dir(overlay_dir, cluster, name)
    try:
        manifest = _read_manifest(directory, cluster)
        if manifest is None:
            _require_ours(directory, cluster)
    except OperationFailed as error:
        return Unknown(unknown=str(error), code=ErrorCode.SNAPSHOT_FAILED)
    except (Conflict, OSError) as error:
        return Unknown(unknown=str(error), code=ErrorCode.CONFLICT, terminal=True)
    if manifest is None:
        return Snapshot(request=0, include_memory=False, half_made=True)
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


def _require_ours(directory: Path, cluster: str) -> None:
    """Raise `Conflict` unless all that stands there is what a snapshot of the cluster leaves when it is interrupted."""
    if not directory.is_dir() or directory.is_symlink():
        raise not_ours(directory, cluster)
    for entry in sorted(directory.iterdir()):
        if not is_owned(entry, cluster):
            raise not_ours(entry, cluster)


def _write(path: Path, content: Frozen, cluster: str) -> None:
    mark = OwnerMark(cluster=cluster, kind=OwnedKind.MANIFEST)
    replace_file(path, content.model_dump_json(indent=2).encode(), mark, mode=_MODE)
