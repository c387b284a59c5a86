"""The snapshot commands as a user runs them, on a real libvirtd; no machine boots here."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from reconciler.host.disks.manifests import UnfinishedSnapshot, begin_snapshot
from tests.integration.bed import Bed
from tests.integration.cli.conftest import Vmcluster, answered_on_a_terminal

CLUSTER = "cli"


@pytest.fixture
def cluster(bed: Bed, vmcluster: Vmcluster) -> str:
    """A defined cluster of two nodes that are off, whose topology calls the snapshot `first` its baseline."""
    bed.write_topology(CLUSTER, edit=lambda document: document.update(snapshots={"baseline": "first"}))
    vmcluster("apply", CLUSTER, "--no-start")
    return CLUSTER


def shown(vmcluster: Vmcluster, *arguments: str, code: int = 0) -> Any:
    return vmcluster("snapshot", *arguments, "-o", "json", code=code).data


def root_layer(vmcluster: Vmcluster, snapshot: str, node: str = "n0") -> Path:
    return Path(shown(vmcluster, "show", CLUSTER, snapshot)["per_node"][node]["disks"]["vda"]["path"])


def test_a_snapshot_is_taken_shown_reverted_to_and_deleted(vmcluster: Vmcluster, cluster: str) -> None:
    assert vmcluster("snapshot", "list", cluster).out.startswith("no snapshots; ")
    created = vmcluster("snapshot", "create", cluster, "first")
    assert created.out.startswith("snapshot first takes ")
    assert "TakeSnapshot: done in" in created.err
    (listed,) = shown(vmcluster, "list", cluster)
    assert (listed["snapshot_name"], listed["include_memory"], listed["lost"]) == ("first", False, False)
    assert set(listed["per_node"]) == {"n0", "n1"}
    assert vmcluster("snapshot", "list", cluster).out.splitlines()[1].startswith("first  ")
    assert root_layer(vmcluster, "first").exists()
    reverted = vmcluster("snapshot", "revert", cluster, "first")
    assert "shut off" in reverted.out
    assert "reverted to first in " in reverted.err
    assert "changes since then will be lost:\n  n0  " in reverted.err
    assert vmcluster("snapshot", "delete", cluster, "first").out == "snapshot first deleted\n"
    assert shown(vmcluster, "list", cluster) == []


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_a_person_is_told_what_a_revert_loses_and_asked(
    vmcluster: Vmcluster, bed: Bed, cluster: str, answer: str, code: int
) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    before = vmcluster("history", cluster, "-o", "json").data
    ended = answered_on_a_terminal(bed, ["snapshot", "revert", cluster, "baseline"], answer)
    assert "  n0  " in ended.err
    assert "; no snapshot keeps any of it" in ended.err
    assert "Revert all nodes of 'cli' to 'baseline'? [y/N]" in ended.err
    assert ended.code == code
    assert len(vmcluster("history", cluster, "-o", "json").data) == len(before) + (code == 0)


def test_a_yes_on_the_command_line_is_not_asked_for_again(vmcluster: Vmcluster, bed: Bed, cluster: str) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    ended = answered_on_a_terminal(bed, ["snapshot", "revert", cluster, "first", "--yes"], "")
    assert (ended.code, "[y/N]" in ended.err) == (0, False)


def test_the_topologys_own_name_stands_for_a_snapshot_everywhere(vmcluster: Vmcluster, cluster: str) -> None:
    assert shown(vmcluster, "create", cluster, "baseline")["snapshot_name"] == "first"
    assert shown(vmcluster, "show", cluster, "baseline")["snapshot_name"] == "first"
    assert shown(vmcluster, "verify", cluster, "baseline")["snapshots"] == [{"snapshot_name": "first", "findings": []}]
    vmcluster("snapshot", "revert", cluster, "baseline")
    assert shown(vmcluster, "delete", cluster, "baseline")["snapshot_name"] == "first"


def test_the_tree_follows_reverts_and_deletions(vmcluster: Vmcluster, cluster: str) -> None:
    for arguments in (["create", "a"], ["create", "b"], ["revert", "a"], ["create", "c"]):
        vmcluster("snapshot", arguments[0], cluster, arguments[1])
    tree = shown(vmcluster, "tree", cluster)
    assert {place["snapshot_name"]: place["parent"] for place in tree["snapshots"]} == {"a": None, "b": "a", "c": "a"}
    assert tree["standing_on"] == {"n0": "c", "n1": "c"}
    vmcluster("snapshot", "revert", cluster, "b")
    vmcluster("snapshot", "delete", cluster, "a")
    lines = vmcluster("snapshot", "tree", cluster).out.splitlines()
    assert lines[0] == cluster
    assert lines[1].startswith("├─ b  ")
    assert lines[1].endswith("  ← all nodes")
    assert lines[2].startswith("└─ c  ")


def test_verify_finds_what_was_damaged_and_says_where(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    vmcluster("snapshot", "create", cluster, "second")
    assert vmcluster("snapshot", "verify", cluster).out == "✓ first\n✓ second\n"
    layer = root_layer(vmcluster, "second")
    whole = layer.read_bytes()
    try:
        layer.unlink()
        found = {of["snapshot_name"]: of["findings"] for of in shown(vmcluster, "verify", cluster, code=1)["snapshots"]}
        assert found["first"] == []
        assert len(found["second"]) == 1
        assert str(layer) in found["second"][0]
    finally:
        layer.write_bytes(whole)


def test_verify_reads_the_tables_of_frozen_layers(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    layer = root_layer(vmcluster, "first")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", str(layer)], capture_output=True, check=True)
    with layer.open("r+b") as file:  # an entry of the first refcount block
        table = int.from_bytes(file.read(56)[48:56])
        file.seek(table)
        block = int.from_bytes(file.read(8))
        file.seek(block)
        file.write(bytes(16))
    ended = vmcluster("snapshot", "verify", cluster, "first", code=1)
    assert "✗ first\n    n0: " in ended.out
    assert "qemu-img check found" in ended.out


def test_a_lost_snapshot_is_marked_and_can_be_deleted(vmcluster: Vmcluster, bed: Bed, cluster: str) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    (bed.settings.overlay_dir / cluster / "snapshots" / "first" / "manifest.json").unlink()
    vmcluster("apply", cluster, "--no-start")
    assert "lost" in vmcluster("snapshot", "list", cluster).out
    assert "✗ first  lost" in vmcluster("snapshot", "tree", cluster).out
    assert "SNAPSHOT_LOST" in vmcluster("snapshot", "revert", cluster, "first", code=1).err
    assert shown(vmcluster, "verify", cluster, code=1)["sound"] is False
    assert "SnapshotLost" in vmcluster("status", cluster).out
    vmcluster("snapshot", "delete", cluster, "first")
    assert shown(vmcluster, "list", cluster) == []


def test_gc_shows_and_takes_away_what_an_interrupted_snapshot_has_left(
    vmcluster: Vmcluster,
    bed: Bed,
    cluster: str,
) -> None:
    assert vmcluster("snapshot", "gc", cluster, "--dry-run").out == "nothing to remove: every layer is needed\n"
    begin_snapshot(bed.settings.overlay_dir, cluster, UnfinishedSnapshot(snapshot_name="half", stopped_nodes=()), None)
    orphan = bed.settings.overlay_dir / cluster / "snapshots" / "half"
    somebodys = orphan.with_name("somebodys")
    somebodys.mkdir()
    assert shown(vmcluster, "gc", cluster, "--dry-run")["half_made"] == ["half"]
    assert orphan.exists()
    assert "half  was interrupted" in vmcluster("snapshot", "gc", cluster).out
    assert not orphan.exists()
    assert somebodys.exists()
    assert shown(vmcluster, "gc", cluster, "--dry-run")["half_made"] == []


def test_what_was_asked_for_wrongly_has_its_own_code(vmcluster: Vmcluster, cluster: str) -> None:
    vmcluster("snapshot", "create", cluster, "first")
    assert shown(vmcluster, "create", cluster, "first", code=1)["code"] == "SNAPSHOT_EXISTS"
    for command in ("show", "revert", "delete", "verify"):
        assert shown(vmcluster, command, cluster, "nope", code=1)["code"] == "SNAPSHOT_NOT_FOUND", command
