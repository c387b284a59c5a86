"""Snapshots of clusters that are off, exact to the byte: the disks are written with qemu-io, not by a guest."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import ClusterNotFound, RevertFailed, SnapshotExists, SnapshotLost, SnapshotNotFound
from reconciler.host.cloud_init.seed_driver import read_host_key
from reconciler.kernel_log.boots import DISKS_REPLACED
from reconciler.model.names import console_path
from reconciler.records.approval import Approval
from tests.integration.bed import Bed, Session, audit, host_libvirt

CLUSTER = "film"


def top_layer(node: str) -> Path:
    """The file that a node's root disk writes to, as libvirt has it."""
    with host_libvirt() as handle:
        xml = handle.lookupByName(f"{CLUSTER}.{node}").XMLDesc()
    return Path(next(part.split("'")[1] for part in xml.split("<source file=")[1:] if ".vda." in part.split("'")[1]))


def write_pattern(node: str, number: int) -> None:
    """Fill the first mebibyte of the root disk."""
    _qemu_io(top_layer(node), f"write -P {number} 0 1M")


def assert_pattern(node: str, number: int) -> None:
    _qemu_io(top_layer(node), f"read -P {number} 0 1M")


def _qemu_io(file: Path, command: str) -> None:
    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", command, str(file)], capture_output=True, text=True, check=True
    )
    assert "verification failed" not in done.stdout, done.stdout


@pytest.fixture
async def film(bed: Bed, session: Session) -> Session:
    bed.write_topology(CLUSTER)
    await session.clusters.define(CLUSTER)
    return session


async def test_a_revert_brings_back_every_byte(film: Session) -> None:
    write_pattern("n0", 1)
    info = await film.snapshots.create(CLUSTER, "one")
    assert set(info.per_node) == {"n0", "n1"}
    write_pattern("n0", 2)
    await film.snapshots.revert(CLUSTER, "one")
    assert_pattern("n0", 1)
    assert (await film.clusters.plan(CLUSTER, start=False)).plan.converged


async def test_a_console_has_a_mark_where_disks_were_reverted(film: Session) -> None:
    await film.snapshots.create(CLUSTER, "one")
    await film.clusters.start(CLUSTER, wait_for_ssh=False)
    await film.snapshots.revert(CLUSTER, "one", wait=False)
    await film.clusters.start(CLUSTER, wait_for_ssh=False)
    for node in ("n0", "n1"):
        assert console_path(top_layer(node).parent.parent, CLUSTER, node).read_text().count(DISKS_REPLACED) == 1


async def test_a_tree_of_snapshots_is_exact_from_any_to_any(film: Session) -> None:
    write_pattern("n0", 1)
    await film.snapshots.create(CLUSTER, "a")
    write_pattern("n0", 2)
    await film.snapshots.create(CLUSTER, "b")
    await film.snapshots.revert(CLUSTER, "a")
    write_pattern("n0", 3)
    await film.snapshots.create(CLUSTER, "c")
    for name, number in [("b", 2), ("a", 1), ("c", 3), ("b", 2), ("c", 3), ("a", 1)]:
        await film.snapshots.revert(CLUSTER, name)
        assert_pattern("n0", number)
        write_pattern("n0", 9)


async def test_many_reverts_leave_no_file_behind(bed: Bed, film: Session) -> None:
    await film.snapshots.create(CLUSTER, "one")
    await film.snapshots.revert(CLUSTER, "one")
    files = len(audit(bed).files)
    for _ in range(20):
        write_pattern("n0", 7)
        await film.snapshots.revert(CLUSTER, "one")
    assert len(audit(bed).files) == files


async def test_a_deleted_snapshot_leaves_the_others_and_the_present_exact(film: Session) -> None:
    for number in (1, 2, 3):
        write_pattern("n0", number)
        await film.snapshots.create(CLUSTER, f"s{number}")
    write_pattern("n0", 4)
    await film.snapshots.delete(CLUSTER, "s2")
    assert_pattern("n0", 4)
    await film.snapshots.revert(CLUSTER, "s3")
    assert_pattern("n0", 3)
    await film.snapshots.revert(CLUSTER, "s1")
    assert_pattern("n0", 1)
    with pytest.raises(SnapshotNotFound):
        await film.snapshots.revert(CLUSTER, "s2")


async def test_a_name_is_taken_once(film: Session) -> None:
    await film.snapshots.create(CLUSTER, "one")
    with pytest.raises(SnapshotExists):
        await film.snapshots.create(CLUSTER, "one")


async def test_a_snapshot_whose_manifest_is_gone_is_lost_and_not_made_again(bed: Bed, film: Session) -> None:
    await film.snapshots.create(CLUSTER, "one")
    (bed.settings.overlay_dir / CLUSTER / "snapshots" / "one" / "manifest.json").unlink()
    await film.clusters.define(CLUSTER)
    with pytest.raises(SnapshotLost):
        await film.snapshots.revert(CLUSTER, "one")
    (only,) = await film.snapshots.listing(CLUSTER)
    assert only.lost


async def test_a_snapshot_of_other_nodes_is_no_way_back_and_says_which_they_are(bed: Bed, film: Session) -> None:
    await film.snapshots.create(CLUSTER, "one")
    bed.write_topology(CLUSTER, nodes=1)
    await film.clusters.apply(CLUSTER, start=False, approval=Approval(restart=True, data_loss=True))
    with pytest.raises(RevertFailed, match=r"has other nodes than the cluster \(removed since then: n1\)"):
        await film.snapshots.revert(CLUSTER, "one")


async def test_destroy_keeps_snapshots_with_the_disks_and_removes_them_when_asked(bed: Bed, film: Session) -> None:
    write_pattern("n0", 5)
    await film.snapshots.create(CLUSTER, "one")
    write_pattern("n0", 6)
    await film.clusters.destroy(CLUSTER)
    assert [(info.snapshot_name, info.lost) for info in await film.snapshots.listing(CLUSTER)] == [("one", False)]
    assert (await film.snapshots.info(CLUSTER, "one")).per_node.keys() == {"n0", "n1"}
    await film.clusters.define(CLUSTER)
    assert_pattern("n0", 6)
    await film.snapshots.revert(CLUSTER, "one")
    assert_pattern("n0", 5)
    await film.snapshots.delete(CLUSTER, "one")
    await film.clusters.destroy(CLUSTER)
    with pytest.raises(ClusterNotFound, match="was destroyed"):
        await film.snapshots.listing(CLUSTER)
    await film.clusters.destroy(CLUSTER, remove_overlays=True)
    assert audit(bed).clean


async def test_extra_disks_are_in_the_snapshot_and_their_own_files_stay_as_they_were(
    bed: Bed, session: Session
) -> None:
    disk = bed.directory / "data.qcow2"

    def edit(document: dict[str, list[dict[str, object]]]) -> None:
        document["nodes"][0]["extra_disks"] = [{"path": str(disk), "size_gb": 1}]

    bed.write_topology(CLUSTER, edit=edit)
    await session.clusters.define(CLUSTER)
    _qemu_io(disk, "write -P 1 0 1M")
    before = disk.read_bytes()
    await session.snapshots.create(CLUSTER, "one")
    with host_libvirt() as handle:
        xml = handle.lookupByName(f"{CLUSTER}.n0").XMLDesc()
    layer = Path(next(part.split("'")[1] for part in xml.split("<source file=")[1:] if ".vdb." in part.split("'")[1]))
    _qemu_io(layer, "write -P 2 0 1M")
    await session.snapshots.revert(CLUSTER, "one")
    assert disk.read_bytes() == before
    with host_libvirt() as handle:
        assert ".vdb.r1.0.qcow2" in handle.lookupByName(f"{CLUSTER}.n0").XMLDesc()


async def test_a_node_that_went_and_came_back_has_the_host_key_that_a_snapshot_knows(bed: Bed, film: Session) -> None:
    def host_key() -> str | None:
        return read_host_key(bed.settings.overlay_dir, CLUSTER, "n1")

    async def apply(nodes: int) -> None:
        bed.write_topology(CLUSTER, nodes=nodes)
        await film.clusters.apply(CLUSTER, start=False, approval=Approval(restart=True, data_loss=True))

    before = host_key()
    await film.snapshots.create(CLUSTER, "both")
    await apply(1)
    await apply(2)
    assert host_key() == before
    await film.snapshots.revert(CLUSTER, "both")
    assert host_key() == before
    await apply(1)
    await film.snapshots.delete(CLUSTER, "both")
    assert host_key() is None
