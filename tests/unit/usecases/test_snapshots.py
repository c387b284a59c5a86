"""Snapshots as they are shown."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.model.record import SnapshotIntent
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower
from reconciler.model.status import HeldSnapshot
from reconciler.usecases.snapshot_description import snapshot_info
from reconciler.usecases.snapshots import snapshot_not_found
from tests.unit.store.samples import sample_record


def test_nodes_are_in_the_order_of_the_topology_whatever_that_of_the_manifest() -> None:
    def part(node: str) -> SnapshotNode:
        disk = FrozenDisk(path=Path(f"/overlays/{node}.vda.r0.0.qcow2"), format="qcow2")
        return SnapshotNode(power=SnapshotPower.OFF, disks={"vda": disk})

    manifest = Manifest(
        snapshot_name="base",
        cluster_name="lab",
        request=1,
        include_memory=False,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        pause_s=0.0,
        nodes={node: part(node) for node in ("left", "alpha", "gamma", "beta")},
    )
    info = snapshot_info(HeldSnapshot(manifest=manifest), ("gamma", "beta", "alpha"))
    assert [*info.per_node] == ["gamma", "beta", "alpha", "left"]


def test_a_snapshot_that_is_still_to_be_taken_is_not_called_unknown() -> None:
    record = sample_record().model_copy(update={"snapshots": {"base": SnapshotIntent(request=1)}})
    refused = snapshot_not_found(record, "base")
    assert refused.message == "snapshot 'base' of cluster 'lab' is requested, and not taken yet"
