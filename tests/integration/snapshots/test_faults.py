"""What goes wrong on the host while snapshots are taken and reverted: the cluster is as before, or as asked."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.desired import chains
from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, RevertFailed, SnapshotFailed
from reconciler.model.choices import StopMode
from reconciler.model.status import ConditionStatus, ConditionType
from reconciler.records.approval import Approval
from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import (
    CLUSTER,
    NODES,
    RUNNING,
    assert_blocks,
    assert_nothing_is_left_over,
    chain_of,
    small_nodes,
    states,
    top_layers,
    write,
    write_block,
)


def assert_as_before(bed: Bed, pattern: int) -> None:
    assert states(CLUSTER) == RUNNING
    for node in NODES:
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: pattern})
    assert_nothing_is_left_over(bed, CLUSTER)


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "one", wait=False)


async def settle(session: Session) -> None:
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=120)


@pytest.fixture
def small_disk(bed: Bed) -> Iterator[Path]:
    """Where the layers and memories are: a file system of its own, with little more than is kept in reserve."""
    image, place = bed.directory / "small.img", bed.settings.overlay_dir
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["truncate", "-s", "160M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    place.chmod(0o755)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, *, leave_mb: int) -> Path:
    """Take all space but so much."""
    filler = place / "filler"
    free = subprocess.run(["stat", "-f", "-c", "%a %S", str(place)], capture_output=True, text=True, check=True)
    blocks, size = map(int, free.stdout.split())
    subprocess.run(["fallocate", "-l", str(blocks * size - (leave_mb << 20)), str(filler)], check=True)
    return filler


async def test_a_disk_that_is_too_full_for_layers_fails_the_snapshot_before_anyone_is_stopped(
    bed: Bed, small_disk: Path, film: Session
) -> None:
    filler = fill(small_disk, leave_mb=40)
    with pytest.raises(SnapshotFailed, match="MiB are free"):
        await film.snapshots.create(CLUSTER, "one")
    assert await film.snapshots.listing(CLUSTER) == []
    filler.unlink()
    await settle(film)
    assert_as_before(bed, 1)
    await film.snapshots.create(CLUSTER, "one")
    filler = fill(small_disk, leave_mb=40)
    write(2)
    with pytest.raises(ClusterError, match="MiB are free"):
        await revert(film)
    assert states(CLUSTER) == RUNNING
    for node in NODES:
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: 2})
    filler.unlink()
    await settle(film)
    assert_as_before(bed, 2)  # the revert was refused before it was recorded
    await revert(film)
    assert_as_before(bed, 1)


async def test_a_disk_that_memory_does_not_fit_on_fails_the_snapshot_and_everyone_runs_on(
    bed: Bed, small_disk: Path, film: Session
) -> None:
    def crowd(moment: str) -> None:
        if moment == "after Suspend":
            subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=64K", "status=none"], check=False)

    async with bed.runtime(crowd) as runtime:
        with pytest.raises(SnapshotFailed):
            await Session(runtime).snapshots.create(CLUSTER, "one", include_memory=True)
    assert await film.snapshots.listing(CLUSTER) == []
    assert states(CLUSTER) == RUNNING
    (small_disk / "filler").unlink()
    await settle(film)
    assert_as_before(bed, 1)


async def test_a_chain_that_there_is_no_room_to_flatten_holds_no_other_verb_up(
    bed: Bed, small_disk: Path, film: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in NODES:
        for block in range(1, 33):  # 2 MiB that cannot be taken up without using the reserve
            write_block(CLUSTER, node, block, 2)
    await film.snapshots.create(CLUSTER, "one")
    monkeypatch.setattr(chains, "MOST_SPARE_LAYERS", 0)
    filler = fill(small_disk, leave_mb=65)
    await film.snapshots.delete(CLUSTER, "one")
    assert await upkeep(film) == (ConditionStatus.FALSE, "PutOff")
    await film.snapshots.create(CLUSTER, "two")
    await film.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    await film.clusters.start(CLUSTER, wait_for_ssh=False)
    assert states(CLUSTER) == RUNNING
    filler.unlink()
    await film.snapshots.delete(CLUSTER, "two")
    assert await upkeep(film) == (ConditionStatus.TRUE, "NothingPutOff")
    assert all(len(chain_of(top_layers(CLUSTER, node)["vda"])) == 2 for node in NODES)
    assert_as_before(bed, 1)


async def upkeep(session: Session) -> tuple[ConditionStatus, str]:
    said = await session.runtime.store.status(CLUSTER)
    assert said is not None
    condition = next(of for of in said.conditions if of.type is ConditionType.UPKEEP_DONE)
    return condition.status, condition.reason


Damage = Callable[[Path], object]


def cut_off(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 4096)


@pytest.mark.parametrize("damage", [cut_off, lambda memory: memory.write_bytes(b"")])
async def test_memory_that_is_not_whole_is_found_and_reverting_to_it_is_refused_before_anyone_is_stopped(
    bed: Bed, film: Session, damage: Damage
) -> None:
    info = await film.snapshots.create(CLUSTER, "one", include_memory=True)
    write(2)
    memory = Path(info.per_node["n1"].memory_path or "")
    damage(memory)
    await assert_refused(bed, film, str(memory))
    assert not (await SnapshotUpkeep(film.runtime).verify(CLUSTER)).sound


@pytest.mark.parametrize("damage", [lambda layer: layer.write_bytes(b"\0" * 65536), Path.unlink])
async def test_a_layer_that_cannot_be_read_keeps_everyone_from_being_stopped_for_a_revert(
    film: Session, damage: Damage
) -> None:
    """The machines hold it open and run on; after a copy of it is put back and taken up, the revert is exact."""
    info = await film.snapshots.create(CLUSTER, "one")
    write(2)
    layer = Path(info.per_node["n1"].disk_path)
    aside = layer.with_name("aside")
    shutil.copy2(layer, aside)  # with its mark, which does not count on another file
    damage(layer)
    with pytest.raises(RevertFailed, match="nothing was changed"):
        await revert(film)
    assert states(CLUSTER) == RUNNING
    assert not (await SnapshotUpkeep(film.runtime).verify(CLUSTER)).sound
    aside.rename(layer)
    with pytest.raises(RevertFailed, match="cluster_adopt"):
        await revert(film)
    await film.clusters.adopt(CLUSTER)
    await revert(film)
    for node in NODES:
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: 1})


async def test_memory_of_another_machine_than_the_node_is_now_is_refused_before_anyone_is_stopped(
    bed: Bed, film: Session
) -> None:
    await film.snapshots.create(CLUSTER, "one", include_memory=True)

    def grown(document: dict[str, list[dict[str, object]]]) -> None:
        small_nodes(document)
        document["nodes"][1]["memory_mb"] = 128

    bed.write_topology(CLUSTER, edit=grown)
    await film.clusters.apply(CLUSTER, wait_for_ssh=False, approval=Approval(restart=True))
    write(2)
    await assert_refused(bed, film, "n1: memory_mb was 64 and is 128")


async def assert_refused(bed: Bed, film: Session, cause: str) -> None:
    """The revert says why, was not asked for, and has changed nothing; not in a later round either."""
    with pytest.raises(RevertFailed) as caught:
        await revert(film)
    assert cause in str(caught.value)
    assert caught.value.code is ErrorCode.REVERT_FAILED
    await settle(film)
    assert_as_before(bed, 2)


@pytest.mark.parametrize("damage", [lambda manifest: manifest.write_text("{"), Path.unlink])
async def test_without_its_manifest_a_snapshot_is_no_way_back_and_nobody_is_stopped(
    bed: Bed, film: Session, damage: Damage
) -> None:
    await film.snapshots.create(CLUSTER, "one")
    write(2)
    manifest = bed.settings.overlay_dir / CLUSTER / "snapshots" / "one" / "manifest.json"
    damage(manifest)
    with pytest.raises(ClusterError) as caught:
        await revert(film)
    assert caught.value.code in {ErrorCode.SNAPSHOT_LOST, ErrorCode.SNAPSHOT_NOT_FOUND, ErrorCode.SNAPSHOT_FAILED}
    assert states(CLUSTER) == RUNNING
    await film.snapshots.delete(CLUSTER, "one")
    assert await film.snapshots.listing(CLUSTER) == []
    assert_as_before(bed, 2)


async def test_a_snapshot_that_is_interrupted_by_its_user_is_taken_by_then_or_never(bed: Bed, film: Session) -> None:
    taken = set()
    for turns in range(0, 40, 3):
        task = asyncio.create_task(film.snapshots.create(CLUSTER, "one", include_memory=True))
        for _ in range(turns):
            await asyncio.sleep(0.005)
        task.cancel()
        with suppress(asyncio.CancelledError):  # unless it was done before
            await task
        there = [info.snapshot_name for info in await film.snapshots.listing(CLUSTER)]
        assert states(CLUSTER) == RUNNING
        await settle(film)
        assert [info.snapshot_name for info in await film.snapshots.listing(CLUSTER)] == there
        taken.add(bool(there))
        if there:
            await film.snapshots.delete(CLUSTER, "one")
        assert_as_before(bed, 1)
    assert taken == {False, True}
