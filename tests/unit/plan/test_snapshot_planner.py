"""Snapshots that forks stand on are neither deleted nor lost."""

from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, LentFiles, Seed, Snapshot, Unknown
from reconciler.model.plan import Action, DeleteLayer, DeleteSeed, DeleteSnapshot, HoldSnapshot, ReleaseSnapshot
from reconciler.model.record import ClusterRecord, Deletion
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.plan.planner import plan
from reconciler.plan.snapshot_planner import plan_snapshots
from tests.simulation.worlds import CLUSTER_DIR, compiled, running_record

FROZEN = Path(f"{CLUSTER_DIR}/alpha.vda.r0.0.qcow2")
OTHER = Path(f"{CLUSTER_DIR}/alpha.vda.r0.1.qcow2")
HELD = Snapshot(
    request=1,
    include_memory=False,
    nodes={"alpha": SnapshotNode(power=SnapshotPower.OFF, disks={"vda": FrozenDisk(path=FROZEN, format="qcow2")})},
)
IMAGE = Path("/images/base.qcow2")
LENT = LentFiles(snapshot="warm", disks=(FROZEN,), below=(IMAGE,))
OBSERVED = ClusterDocument(
    snapshots={"warm": HELD},
    forks={"try-1": LENT, "try-2": LENT},
    seeds={"alpha": Seed(digest="0a")},
    layers={
        str(FROZEN): Layer(node="alpha", disk="vda", size_bytes=2**30, backing=IMAGE, backing_format="qcow2"),
        str(OTHER): Layer(node="alpha", disk="vda", size_bytes=2**30, backing=FROZEN, backing_format="qcow2"),
    },
)


DAMAGED = Unknown(unknown="the manifest is damaged", code=ErrorCode.SNAPSHOT_FAILED)
UNREADABLE = Unknown(unknown="forked-from.json cannot be read", code=ErrorCode.OPERATION_FAILED)
REMOVED = running_record("alpha").model_copy(update={"deletion": Deletion(remove_overlays=True)})


def observed(**update: object) -> ClusterDocument:
    return OBSERVED.model_copy(update=update)


def removed(record: ClusterRecord, found: ClusterDocument) -> list[Action]:
    """What of the files goes, whatever the caller has agreed to."""
    actions = plan(compiled(record, found), found).actions
    return [action for action in actions if isinstance(action, DeleteLayer | DeleteSeed | DeleteSnapshot)]


def test_a_snapshot_goes_once_no_fork_stands_on_it() -> None:
    assert [*plan_snapshots(ClusterDocument(), OBSERVED)] == []
    (step,) = plan_snapshots(ClusterDocument(), observed(forks={}))
    assert isinstance(step, DeleteSnapshot)


@pytest.mark.parametrize("snapshots", [{"warm": HELD}, {"warm": DAMAGED}, {}], ids=["whole", "damaged", "gone"])
def test_a_cluster_removed_with_its_disks_keeps_what_forks_stand_on(snapshots: dict[str, Snapshot | Unknown]) -> None:
    found = observed(snapshots=snapshots)
    assert [action.path for action in removed(REMOVED, found) if isinstance(action, DeleteLayer)] == [OTHER]
    assert len(removed(REMOVED, found)) == 1
    obstacles = plan(compiled(REMOVED, found), found).obstacles
    (conflict,) = (of for of in obstacles if of.code is ErrorCode.CONFLICT)
    assert "snapshot 'warm' stays, as try-1, try-2 stand on it: destroy" in conflict.message


@pytest.mark.parametrize("snapshots", [{"warm": HELD}, {"warm": DAMAGED}, {}], ids=["whole", "damaged", "gone"])
def test_a_fork_that_does_not_say_what_it_stands_on_keeps_everything(snapshots: dict[str, Snapshot | Unknown]) -> None:
    found = observed(snapshots=snapshots, forks={"try": UNREADABLE})
    assert removed(REMOVED, found) == []
    assert UNREADABLE.unknown in [of.message for of in plan(compiled(REMOVED, found), found).obstacles]


@pytest.mark.parametrize("snapshots", [{"warm": DAMAGED}, {}], ids=["damaged", "gone"])
def test_a_revert_keeps_the_disks_of_a_fork_whose_snapshot_cannot_be_read(
    snapshots: dict[str, Snapshot | Unknown],
) -> None:
    record = running_record("alpha")
    reverted = record.model_copy(
        update={"nodes": {"alpha": record.nodes["alpha"].model_copy(update={"disk_revision": 1})}}
    )
    assert FROZEN not in [
        action.path for action in removed(reverted, observed(snapshots=snapshots)) if isinstance(action, DeleteLayer)
    ]


def test_a_snapshot_that_only_forks_want_stays_without_complaint() -> None:
    found = observed(domains={}, layers={})
    wanted = compiled(running_record("alpha"), found)
    assert wanted.snapshots["warm"] == HELD
    assert plan(wanted, found).obstacles == ()
    assert "warm" not in compiled(running_record("alpha"), observed(forks={})).snapshots


def test_a_snapshot_is_deleted_before_the_disks_that_a_fork_may_come_to_need() -> None:
    assert DeleteSnapshot.stage < DeleteLayer.stage
    assert DeleteSnapshot.stage < DeleteSeed.stage


def test_a_fork_with_a_damaged_file_can_be_destroyed_and_then_holds_nothing() -> None:
    lost = Unknown(unknown="forked-from.json is damaged", code=ErrorCode.SNAPSHOT_LOST)
    (step,) = plan_snapshots(ClusterDocument(), ClusterDocument(snapshots={"warm": lost}))
    assert isinstance(step, ReleaseSnapshot)
    assert [*plan_snapshots(ClusterDocument(), observed(snapshots={"warm": lost}, forks={}))] == []


def test_what_a_fork_does_not_hold_yet_is_held_and_never_taken() -> None:
    observed = ClusterDocument(snapshots={"warm": HELD.model_copy(update={"held": False})})
    (step,) = plan_snapshots(ClusterDocument(snapshots={"warm": HELD.model_copy(update={"held": True})}), observed)
    assert isinstance(step, HoldSnapshot)
    assert [*plan_snapshots(ClusterDocument(), observed)] == []
