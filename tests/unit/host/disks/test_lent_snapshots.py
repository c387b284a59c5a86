"""The snapshots that forks stand on, as the directories say."""

import errno
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, OperationFailed, SnapshotLost
from reconciler.files.marked_files import CLUSTER_DIR_MODE, bind_copies, ensure_directory
from reconciler.host.disks import lent_snapshots
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.disks.lent_snapshots import (
    hold_snapshot,
    observe_forks,
    observe_lent,
    release_snapshot,
    remove_unless_held,
)
from reconciler.host.disks.manifests import finish_snapshot, observe_snapshots, remove_snapshot, snapshot_dir
from reconciler.model.document import Layer, LentFiles, Snapshot, Unknown
from reconciler.model.names import cluster_dir, layer_path
from reconciler.model.record import ForkedFrom
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower

LAB, FORK, NAME = "lab", "try", "warm"


def forked_from(cluster: str = LAB, snapshot: str = NAME) -> ForkedFrom:
    return ForkedFrom(
        cluster=cluster,
        snapshot=snapshot,
        identity=LAB,
        lenders=(cluster,),
        store="0a",
        generation=1,
    )


async def make_snapshot(overlays: Path, cluster: str, name: str, below: Path, format: str) -> Path:  # noqa: A002
    """A snapshot of one node, on that file."""
    layer = layer_path(overlays, cluster, "n0", "vda", 0)
    wanted = Layer(node="n0", disk="vda", size_bytes=1 << 20, backing=below, backing_format=format)
    await LayerDriver().create_layer(layer, wanted, cluster=cluster)
    ensure_directory(snapshot_dir(overlays, cluster, name), mode=CLUSTER_DIR_MODE)
    part = SnapshotNode(power=SnapshotPower.OFF, disks={"vda": FrozenDisk(path=layer, format="qcow2")})
    finish_snapshot(
        overlays,
        Manifest(
            cluster_name=cluster,
            snapshot_name=name,
            request=1,
            include_memory=False,
            pause_s=0,
            created_at=datetime(2026, 1, 2, tzinfo=UTC),
            nodes={"n0": part},
        ),
    )
    return layer


@pytest.fixture
async def overlays(tmp_path: Path) -> Path:
    image = tmp_path / "base.raw"
    image.write_bytes(bytes(1 << 20))
    await make_snapshot(tmp_path / "overlays", LAB, NAME, image, "raw")
    return tmp_path / "overlays"


def lent(overlays: Path, cluster: str = FORK, of: ForkedFrom | None = None) -> Snapshot:
    (found,) = observe_lent(overlays, cluster, of or forked_from()).values()
    assert isinstance(found, Snapshot)
    return found


def holders(overlays: Path) -> dict[str, str]:
    """By fork, the snapshot of the lab that it stands on."""
    forks = observe_forks(overlays, LAB)
    return {fork: of.snapshot for fork, of in forks.items() if isinstance(of, LentFiles)}


def restore(directory: Path) -> None:
    """Put a directory back from a backup: the same files under the same names, in other inodes."""
    backup = directory.with_name("backup")
    subprocess.run(["cp", "-a", directory, backup], check=True)
    shutil.rmtree(directory)
    backup.rename(directory)


def hold(overlays: Path, cluster: str = FORK, of: ForkedFrom | None = None) -> None:
    of = of or forked_from()
    hold_snapshot(overlays, cluster, of, lent(overlays, cluster, of), None)


async def test_a_fork_knows_the_whole_chain_before_it_holds_it_and_after(overlays: Path) -> None:
    frozen = layer_path(overlays, LAB, "n0", "vda", 0)
    before = lent(overlays)
    assert before.held is False
    assert [file.path.name for file in before.below[frozen]] == ["base.raw"]
    hold(overlays)
    assert lent(overlays) == before.model_copy(update={"held": True})
    (found,) = observe_lent(overlays, FORK, None).values()
    assert found == lent(overlays), "the directory says so, whatever the record does"


async def test_no_snapshot_is_free_while_the_file_of_a_fork_cannot_be_read(
    overlays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(overlays)

    def broken(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lent_snapshots, "read_mark", broken)  # no disk fails on request
    assert isinstance(observe_forks(overlays, LAB)[FORK], Unknown)
    with pytest.raises(OperationFailed, match="cannot be read"):
        remove_unless_held(overlays, LAB, NAME)


async def test_a_held_snapshot_is_not_deleted_and_names_its_forks(overlays: Path) -> None:
    hold(overlays)
    hold(overlays, "other")
    assert holders(overlays) == {"other": NAME, FORK: NAME}
    with pytest.raises(Conflict, match=r"other, try stand on it"):
        remove_unless_held(overlays, LAB, NAME)
    for fork in ("other", FORK):
        release_snapshot(overlays, fork)
        release_snapshot(overlays, fork)
    remove_unless_held(overlays, LAB, NAME)
    assert observe_snapshots(overlays, LAB) == {}


async def test_a_snapshot_that_is_gone_is_not_held(overlays: Path) -> None:
    seen = lent(overlays)
    remove_snapshot(overlays, LAB, NAME)
    with pytest.raises(SnapshotLost, match="lab@warm was deleted meanwhile"):
        hold_snapshot(overlays, FORK, forked_from(), seen, None)
    assert not cluster_dir(overlays, FORK).exists()
    assert observe_lent(overlays, FORK, forked_from()) == {}


async def test_a_fork_of_a_fork_stands_on_both(overlays: Path) -> None:
    hold(overlays)
    frozen = layer_path(overlays, LAB, "n0", "vda", 0)
    own = await make_snapshot(overlays, FORK, "own", frozen, "qcow2")
    found = lent(overlays, "second", forked_from(FORK, "own"))
    assert [file.path.name for file in found.below[own]] == [frozen.name, "base.raw"]


@pytest.mark.parametrize("lost", [False, True], ids=["damaged", "lost"])
async def test_a_fork_says_what_it_stands_on_whatever_is_left_of_the_snapshot(overlays: Path, *, lost: bool) -> None:
    hold(overlays)
    manifest = snapshot_dir(overlays, LAB, NAME) / "manifest.json"
    if lost:
        manifest.unlink()
    else:
        manifest.write_bytes(b"!")
    (found,) = observe_forks(overlays, LAB).values()
    assert isinstance(found, LentFiles)
    assert found.disks == (layer_path(overlays, LAB, "n0", "vda", 0),)
    assert [path.name for path in found.below] == ["base.raw"]
    assert lent(overlays).held, "the fork has what it needs"


async def test_a_file_that_somebody_copied_holds_nothing(overlays: Path) -> None:
    hold(overlays)
    copy = cluster_dir(overlays, "copied")
    copy.mkdir()
    shutil.copyfile(cluster_dir(overlays, FORK) / "forked-from.json", copy / "forked-from.json")
    assert holders(overlays) == {FORK: NAME}


async def test_a_fork_that_was_restored_from_a_backup_holds_before_it_is_adopted_too(overlays: Path) -> None:
    hold(overlays)
    restore(cluster_dir(overlays, FORK))
    found = observe_forks(overlays, LAB)[FORK]
    assert isinstance(found, Unknown)
    assert f'`cluster_adopt(cluster_name="{FORK}")`' in found.unknown
    with pytest.raises(OperationFailed, match="is a copy"):
        remove_unless_held(overlays, LAB, NAME)
    bind_copies(overlays, FORK, (), lambda: None)
    assert holders(overlays) == {FORK: NAME}


async def test_a_directory_that_no_cluster_can_have_is_no_fork(overlays: Path) -> None:
    (overlays / "lost+found").write_text("cannot be looked into")
    (overlays / ".trash").symlink_to(".trash")
    assert observe_forks(overlays, LAB) == {}


async def test_a_damaged_word_of_a_fork_is_unknown_and_goes_on_holding(overlays: Path) -> None:
    hold(overlays)
    with (cluster_dir(overlays, FORK) / "forked-from.json").open("r+b") as file:
        file.write(b"!")
    (found,) = observe_lent(overlays, FORK, forked_from()).values()
    assert isinstance(found, Unknown)
    assert found.code is ErrorCode.SNAPSHOT_LOST
    assert isinstance(observe_forks(overlays, LAB)[FORK], Unknown)
    with pytest.raises(OperationFailed, match="is damaged"):
        remove_unless_held(overlays, LAB, NAME)
