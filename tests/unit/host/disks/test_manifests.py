"""Snapshots on disk, beside what others have put among them."""

import resource
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import OperationFailed
from reconciler.files.marked_files import CLUSTER_DIR_MODE, ensure_directory
from reconciler.host.disks.manifests import (
    UnfinishedSnapshot,
    begin_snapshot,
    finish_snapshot,
    observe_snapshots,
    read_journal,
    read_manifests,
    remove_snapshot,
    remove_traces,
    snapshot_dir,
    snapshot_mark,
)
from reconciler.model.document import Snapshot, Unknown
from reconciler.model.origin import Origin
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower

CLUSTER = "lab"
ORIGIN = Origin(store="0a", generation=3, token="1b", state_dir="/state")
MANIFEST = Manifest(
    cluster_name=CLUSTER,
    snapshot_name="ours",
    request=1,
    include_memory=False,
    pause_s=0,
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    nodes={},
)
HALF_MADE = Snapshot(request=0, include_memory=False, half_made=True)


def test_what_others_have_put_among_snapshots_costs_no_more_than_its_own_name(tmp_path: Path) -> None:
    for name in ("ours", "copied", "empty"):
        ensure_directory(snapshot_dir(tmp_path, CLUSTER, name), mode=CLUSTER_DIR_MODE)
    finish_snapshot(tmp_path, MANIFEST)
    ours = snapshot_dir(tmp_path, CLUSTER, "ours")
    shutil.copyfile(ours / "manifest.json", snapshot_dir(tmp_path, CLUSTER, "copied") / "manifest.json")
    (ours.parent / "a-file").write_text("somebody's notes")
    (ours.parent / "a-link").symlink_to(ours)

    assert read_manifests(tmp_path, CLUSTER)[0] == MANIFEST
    found = observe_snapshots(tmp_path, CLUSTER)
    assert isinstance(found["ours"], Snapshot)
    assert "empty" not in found, "an empty directory is nobody's"
    for name in ("copied", "a-file"):
        assert isinstance(unknown := found[name], Unknown)
        assert (unknown.code, unknown.terminal) == (ErrorCode.CONFLICT, True)


def test_sweeping_takes_what_is_ours_and_leaves_the_rest_and_its_directory(tmp_path: Path) -> None:
    begin_snapshot(tmp_path, CLUSTER, UnfinishedSnapshot(snapshot_name="half", stopped_nodes=("n0",)), ORIGIN)
    half = snapshot_dir(tmp_path, CLUSTER, "half")
    (half / "notes").write_text("somebody's")
    (half / "nested").mkdir()
    assert observe_snapshots(tmp_path, CLUSTER) == {"half": HALF_MADE}
    mark = snapshot_mark(tmp_path, CLUSTER, "half")
    assert mark is not None
    assert mark.origin == ORIGIN
    remove_snapshot(tmp_path, CLUSTER, "half")
    assert sorted(path.name for path in half.iterdir()) == ["nested", "notes"]
    assert isinstance(observe_snapshots(tmp_path, CLUSTER)["half"], Unknown), "it is theirs now, and not swept again"
    remove_snapshot(tmp_path, CLUSTER, "half")
    assert (half / "notes").read_text() == "somebody's"


def test_what_an_interrupted_sweep_has_left_is_swept_by_the_next_one(tmp_path: Path) -> None:
    begin_snapshot(tmp_path, CLUSTER, UnfinishedSnapshot(snapshot_name="half", stopped_nodes=()), ORIGIN)
    (snapshot_dir(tmp_path, CLUSTER, "half") / "journal.json").unlink()
    assert observe_snapshots(tmp_path, CLUSTER) == {"half": HALF_MADE}
    remove_snapshot(tmp_path, CLUSTER, "half")
    assert not snapshot_dir(tmp_path, CLUSTER, "half").parent.exists()


def test_a_file_in_place_of_all_snapshots_is_one_finding(tmp_path: Path) -> None:
    place = snapshot_dir(tmp_path, CLUSTER, "any").parent
    place.parent.mkdir()
    place.write_text("somebody's")
    (found,) = observe_snapshots(tmp_path, CLUSTER).values()
    assert isinstance(found, Unknown)
    assert str(place) in found.unknown
    assert read_manifests(tmp_path, CLUSTER) == []
    remove_traces(tmp_path, CLUSTER)
    assert place.read_text() == "somebody's"


def test_traces_of_a_cluster_are_removed_as_far_as_they_are_empty(tmp_path: Path) -> None:
    for name in ("empty", "theirs"):
        snapshot_dir(tmp_path, CLUSTER, name).mkdir(parents=True)
    (snapshot_dir(tmp_path, CLUSTER, "theirs") / "notes").write_text("somebody's")
    remove_traces(tmp_path, CLUSTER)
    assert [path.name for path in snapshot_dir(tmp_path, CLUSTER, "theirs").parent.iterdir()] == ["theirs"]


def test_a_damaged_journal_names_nobody_and_is_swept(tmp_path: Path) -> None:
    begin_snapshot(tmp_path, CLUSTER, UnfinishedSnapshot(snapshot_name="half", stopped_nodes=("n0",)), ORIGIN)
    (snapshot_dir(tmp_path, CLUSTER, "half") / "journal.json").write_text("{")
    assert read_journal(tmp_path, CLUSTER, "half") is None
    assert observe_snapshots(tmp_path, CLUSTER) == {"half": HALF_MADE}


@pytest.mark.parametrize("path", ["x/y", "../../etc/shadow", "/etc/\\u0000shadow", ""])
@pytest.mark.parametrize("place", ["disk", "memory", "node"])
def test_a_manifest_that_names_what_no_snapshot_has_is_damaged(tmp_path: Path, path: str, place: str) -> None:
    frozen = FrozenDisk(path=Path("/the-disk"), format="qcow2")
    part = SnapshotNode(power=SnapshotPower.OFF, disks={"vda": frozen}, memory=Path("/the-memory"))
    directory = snapshot_dir(tmp_path, CLUSTER, "ours")
    ensure_directory(directory, mode=CLUSTER_DIR_MODE)
    finish_snapshot(tmp_path, MANIFEST.model_copy(update={"nodes": {"the-node": part}}))
    file = directory / "manifest.json"
    file.write_text(file.read_text().replace({"node": "the-node"}.get(place, f"/the-{place}"), path))
    assert isinstance(unknown := observe_snapshots(tmp_path, CLUSTER)["ours"], Unknown)
    assert (unknown.code, "is damaged" in unknown.unknown) == (ErrorCode.SNAPSHOT_FAILED, True)


def test_a_snapshot_for_whose_journal_there_is_no_room_is_not_begun(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(OperationFailed, match="cannot write"):
            begin_snapshot(tmp_path, CLUSTER, UnfinishedSnapshot(snapshot_name="half", stopped_nodes=()), ORIGIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert observe_snapshots(tmp_path, CLUSTER) == {}
    assert not snapshot_dir(tmp_path, CLUSTER, "half").exists()
