"""Snapshots that forks stand on are neither deleted nor lost."""

from pathlib import Path

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, Snapshot
from reconciler.model.plan import DeleteLayer, DeleteSnapshot, HoldSnapshot
from reconciler.model.record import Deletion
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.plan.planner import plan
from reconciler.plan.snapshot_planner import plan_snapshots
from tests.simulation.worlds import CLUSTER_DIR, compiled, running_record

FROZEN = Path(f"{CLUSTER_DIR}/alpha.vda.r0.0.qcow2")
OTHER = Path(f"{CLUSTER_DIR}/alpha.vda.r0.1.qcow2")
HELD = Snapshot(
    request=1,
    include_memory=False,
    forks=("try-1", "try-2"),
    nodes={"alpha": SnapshotNode(power=SnapshotPower.OFF, disks={"vda": FrozenDisk(path=FROZEN, format="qcow2")})},
)
IMAGE = Path("/images/base.qcow2")
OBSERVED = ClusterDocument(
    snapshots={"warm": HELD},
    layers={
        str(FROZEN): Layer(node="alpha", disk="vda", size_bytes=2**30, backing=IMAGE, backing_format="qcow2"),
        str(OTHER): Layer(node="alpha", disk="vda", size_bytes=2**30, backing=FROZEN, backing_format="qcow2"),
    },
)


def test_a_snapshot_with_forks_stays_and_the_plan_names_them() -> None:
    (step,) = plan_snapshots(ClusterDocument(), OBSERVED)
    assert step.code is ErrorCode.CONFLICT  # type: ignore[union-attr]
    assert "try-1, try-2 stand on it: destroy" in step.message  # type: ignore[union-attr]
    free = OBSERVED.model_copy(update={"snapshots": {"warm": HELD.model_copy(update={"forks": ()})}})
    (step,) = plan_snapshots(ClusterDocument(), free)
    assert isinstance(step, DeleteSnapshot)


def test_a_cluster_removed_with_its_disks_keeps_what_forks_stand_on() -> None:
    record = running_record("alpha").model_copy(update={"deletion": Deletion(remove_overlays=True)})
    found = plan(compiled(record, OBSERVED), OBSERVED)
    assert [action.path for action in found.actions if isinstance(action, DeleteLayer)] == [OTHER]
    assert not any(isinstance(action, DeleteSnapshot) for action in found.actions)
    assert [obstacle.code for obstacle in found.obstacles] == [ErrorCode.CONFLICT]


def test_what_a_fork_does_not_hold_yet_is_held_and_never_taken() -> None:
    lent = HELD.model_copy(update={"held": False, "forks": ()})
    observed = ClusterDocument(snapshots={"warm": lent})
    (step,) = plan_snapshots(ClusterDocument(snapshots={"warm": HELD.model_copy(update={"held": True})}), observed)
    assert isinstance(step, HoldSnapshot)
    assert [*plan_snapshots(ClusterDocument(), observed)] == []
