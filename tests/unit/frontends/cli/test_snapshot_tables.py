"""Snapshots as people read them, letter by letter."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.frontends.cli.snapshot_tables import (
    loss_lines,
    show_created,
    show_deleted,
    show_snapshot,
    show_snapshot_checks,
    show_snapshots,
    size,
    tree_lines,
    unneeded_lines,
)
from reconciler.model.results import (
    SnapshotDeleteResult,
    SnapshotFile,
    SnapshotInfo,
    SnapshotNodeDeletion,
    SnapshotNodeInfo,
)
from reconciler.model.snapshot import SnapshotPower
from reconciler.usecases.revert_losses import NodeLoss, RevertLosses
from reconciler.usecases.snapshot_tree import SnapshotPlace, SnapshotTree
from reconciler.usecases.snapshot_upkeep import SnapshotCheck, Unneeded, UnneededLayer, Verification

TAKEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MIB = 1024**2
Captured = pytest.CaptureFixture[str]

BASE = SnapshotInfo(
    snapshot_name="base",
    cluster_name="lab",
    created_at=TAKEN,
    include_memory=True,
    pause_s=0.0423,
    per_node={
        "a": SnapshotNodeInfo(
            node_name="a",
            disk_path="/d/a.vda.r0.0.qcow2",
            size_bytes=231 * MIB,
            memory_path="/d/snapshots/base/a.memory",
            memory_bytes=200 * MIB,
            power=SnapshotPower.RUNNING,
            disks={
                "vda": SnapshotFile(path="/d/a.vda.r0.0.qcow2", size_bytes=30 * MIB),
                "vdb": SnapshotFile(path="/d/data.qcow2", size_bytes=MIB),
            },
        )
    },
)
LOST = SnapshotInfo(snapshot_name="old\x1b[2J", cluster_name="lab", created_at=None, per_node={}, lost=True)


def place(name: str, parent: str | None, *, memory: bool = False) -> SnapshotPlace:
    return SnapshotPlace(snapshot_name=name, parent=parent, created_at=TAKEN, include_memory=memory)


def unneeded_layer(name: str, *, held: bool = False, removed: bool = False) -> UnneededLayer:
    return UnneededLayer(path=Path(f"/d/{name}"), node="a", disk="vda", size_bytes=3 * MIB, held=held, removed=removed)


def test_a_list_has_sizes_for_people_and_marks_what_is_lost(capsys: Captured) -> None:
    show_snapshots([BASE, BASE.model_copy(update={"include_memory": False, "pause_s": 0.0}), LOST])
    assert capsys.readouterr().out == (
        "SNAPSHOT     TAKEN                  MEMORY   SIZE      PAUSE\n"
        "base         2026-01-02 03:04:05Z   yes      231 MiB   42 ms\n"
        "base         2026-01-02 03:04:05Z   no       231 MiB   -\n"
        "old\\x1b[2J   lost                   -        -         -\n"
    )


def test_an_empty_list_says_how_to_take_one(capsys: Captured) -> None:
    show_snapshots([])
    assert capsys.readouterr().out == "no snapshots; take one with `vmcluster snapshot create CLUSTER NAME`\n"


def test_a_snapshot_is_shown_file_by_file(capsys: Captured) -> None:
    show_snapshot(BASE)
    assert capsys.readouterr().out == (
        "snapshot base, taken 2026-01-02 03:04:05Z with memory, 231 MiB\n"
        "\n"
        "NODE   THEN      PART     SIZE      FILE\n"
        "a      running   vda      30 MiB    /d/a.vda.r0.0.qcow2\n"
        "a      running   vdb      1.0 MiB   /d/data.qcow2\n"
        "a      running   memory   200 MiB   /d/snapshots/base/a.memory\n"
    )


def test_a_lost_snapshot_has_no_files_to_show(capsys: Captured) -> None:
    show_snapshot(LOST)
    assert capsys.readouterr().out == "snapshot old\\x1b[2J is lost: it was taken, but its files are gone\n"


def test_what_was_taken_and_what_was_deleted_is_a_line(capsys: Captured) -> None:
    show_created(BASE)
    show_created(BASE.model_copy(update={"include_memory": False, "pause_s": 0.0}))
    gone = {"a": SnapshotNodeDeletion(node_name="a", deleted=True)}
    show_deleted(SnapshotDeleteResult(snapshot_name="base", cluster_name="lab", per_node=gone))
    assert capsys.readouterr().out == (
        "snapshot base with memory takes 231 MiB; nodes were paused for 42 ms\n"
        "snapshot base takes 231 MiB\n"
        "snapshot base deleted\n"
    )


def test_what_a_revert_loses_is_told_node_by_node_with_what_keeps_it() -> None:
    losses = RevertLosses(
        cluster_name="lab",
        snapshot_name="a",
        created_at=TAKEN,
        per_node={
            "n0": NodeLoss(memory=True, written_bytes=3 * MIB, kept_by="b", kept_until=TAKEN),
            "node": NodeLoss(memory=False, written_bytes=0, kept_by=None, kept_until=None),
            "n2": NodeLoss(memory=None, written_bytes=None, kept_by="c", kept_until=None),
            "n3": NodeLoss(memory=False, written_bytes=0, kept_by="a", kept_until=TAKEN),
        },
    )
    assert list(loss_lines(losses)) == [
        "reverting to snapshot a, as of 2026-01-02 03:04:05Z; changes since then will be lost:",
        "  n0    its memory and 3.0 MiB on its disks; snapshot b keeps what came before it, up to 2026-01-02 03:04:05Z",
        "  node  0 B on its disks; no snapshot keeps any of it",
        "  n2    its memory, if it runs, and what it wrote; snapshot c keeps what came before it",
        "  n3    0 B on its disks; no snapshot keeps any of it",
        "to keep all of it, first run `vmcluster snapshot create lab NAME --memory`",
    ]


def test_a_tree_shows_what_stands_on_what_and_where_the_nodes_are() -> None:
    tree = SnapshotTree(
        cluster_name="lab",
        snapshots=(
            place("a", None, memory=True),
            place("b", "a"),
            place("c", "a"),
            place("d", "b"),
            place("other", None),
        ),
        standing_on={"n0": "d", "n1": "d", "n2": None},
        lost_snapshots=("gone",),
    )
    assert list(tree_lines(tree)) == [
        "lab  ← n2",
        "├─ a  2026-01-02 03:04:05Z, memory",
        "│  ├─ b  2026-01-02 03:04:05Z",
        "│  │  └─ d  2026-01-02 03:04:05Z  ← n0, n1",
        "│  └─ c  2026-01-02 03:04:05Z",
        "└─ other  2026-01-02 03:04:05Z",
        "✗ gone  lost",
    ]


def test_nodes_that_are_all_in_one_place_are_not_named() -> None:
    tree = SnapshotTree(cluster_name="lab", snapshots=(place("a", None),), standing_on={"n0": "a", "n1": "a"})
    assert list(tree_lines(tree)) == ["lab", "└─ a  2026-01-02 03:04:05Z  ← all nodes"]


def test_each_problem_is_below_its_snapshot(capsys: Captured) -> None:
    checks = (
        SnapshotCheck(snapshot_name="a", findings=()),
        SnapshotCheck(snapshot_name="b", findings=("n0: /d/x is missing",)),
    )
    show_snapshot_checks(Verification(cluster_name="lab", sound=False, snapshots=checks))
    assert capsys.readouterr().out == "✓ a\n✗ b\n    n0: /d/x is missing\n"


def test_what_can_go_is_listed_with_a_sum_that_leaves_out_what_is_held() -> None:
    layers = (unneeded_layer("x"), unneeded_layer("y", held=True))
    assert list(unneeded_lines(Unneeded(cluster_name="lab", layers=layers, half_made=("s",)))) == [
        "snapshot s  was interrupted while it was taken",
        "  3.0 MiB  /d/x",
        "  3.0 MiB  /d/y  stays until a is off",
        "1 layer, 3.0 MiB: can be removed",
    ]


def test_what_went_is_listed_with_a_sum() -> None:
    layers = (unneeded_layer("x", removed=True), unneeded_layer("y", removed=True))
    assert list(unneeded_lines(Unneeded(cluster_name="lab", layers=layers, half_made=(), removed=True)))[-1] == (
        "2 layers, 6.0 MiB: removed"
    )


def test_where_all_is_needed_nothing_can_go() -> None:
    away = {"n1": "host2", "n2": "host3", "n3": "host2"}
    told = [*unneeded_lines(Unneeded(cluster_name="lab", layers=(), half_made=(), nodes_elsewhere=away))]
    assert told[1:] == [
        "the files of n1, n3 are on host host2: run this command there too",
        "the files of n2 are on host host3: run this command there too",
    ]
    assert list(unneeded_lines(Unneeded(cluster_name="lab", layers=(), half_made=()))) == [
        "nothing to remove: every layer is needed"
    ]


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (196608, "192 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2**45, "32.0 TiB"),
    ],
)
def test_sizes_are_in_units_of_1024(size_bytes: int, words: str) -> None:
    assert size(size_bytes) == words
