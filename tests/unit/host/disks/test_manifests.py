"""Snapshots on disk, beside what others have put among them."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import ErrorCode
from reconciler.host.disks.manifests import finish_snapshot, observe_snapshots, read_manifests, snapshot_dir
from reconciler.host.files import CLUSTER_DIR_MODE, ensure_directory
from reconciler.model.document import Snapshot, Unknown
from reconciler.model.snapshot import Manifest

CLUSTER = "lab"


def test_what_others_have_put_among_snapshots_costs_no_more_than_its_own_name(tmp_path: Path) -> None:
    manifest = Manifest(
        cluster_name=CLUSTER,
        snapshot_name="ours",
        request=1,
        include_memory=False,
        pause_s=0,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        nodes={},
    )
    for name in ("ours", "copied", "empty"):
        ensure_directory(snapshot_dir(tmp_path, CLUSTER, name), mode=CLUSTER_DIR_MODE)
    finish_snapshot(tmp_path, manifest)
    ours = snapshot_dir(tmp_path, CLUSTER, "ours")
    shutil.copyfile(ours / "manifest.json", snapshot_dir(tmp_path, CLUSTER, "copied") / "manifest.json")
    (ours.parent / "a-file").write_text("somebody's notes")
    (ours.parent / "a-link").symlink_to(ours)

    assert read_manifests(tmp_path, CLUSTER)[0] == manifest
    found = observe_snapshots(tmp_path, CLUSTER)
    assert isinstance(found["ours"], Snapshot)
    assert "empty" not in found, "an empty directory is nobody's"
    for name in ("copied", "a-file"):
        assert isinstance(unknown := found[name], Unknown)
        assert (unknown.code, unknown.terminal) == (ErrorCode.CONFLICT, True)
