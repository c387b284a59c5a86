"""The directory of all layers moves to another file system: as the manual says it, with disks, snapshots and memory."""

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.model.choices import StopMode
from reconciler.records.approval import Approval
from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
from tests.integration.bed import Bed, Session
from tests.integration.clusters.test_other_stores import CLUSTER, adopt, as_wanted, define
from tests.integration.kills import run
from tests.integration.snapshots.films import small_nodes, top_layers, write_block
from tests.soak.disks import read

RECIPES = {
    "by a link": "mv {kept} {new} && ln -s {new} {kept}",
    "by a mount": "cp -a {kept} {new} && mount --bind {new} {kept}",
}


@pytest.fixture
def large(bed: Bed) -> Iterator[Path]:
    """Another file system."""
    place = bed.directory / "large"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-R", "-l", place], check=True)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def snap_with_memory(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "kept", include_memory=True)


async def stop(session: Session) -> None:
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "kept", wait=False)


async def is_sound(session: Session) -> None:
    assert (await SnapshotUpkeep(session.runtime).verify(CLUSTER)).sound


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_overlays_move_with_their_snapshots(bed: Bed, large: Path, recipe: str) -> None:
    bed.write_topology(CLUSTER, nodes=2, edit=small_nodes)
    kept, new = bed.settings.overlay_dir, large / "overlays"
    run(bed, define, start)
    write_block(CLUSTER, "n0", 0, 7)
    run(bed, snap_with_memory)
    write_block(CLUSTER, "n0", 0, 8)
    run(bed, stop)
    subprocess.run(["sh", "-ec", recipe.format(kept=shlex.quote(str(kept)), new=shlex.quote(str(new)))], check=True)
    try:
        run(bed, adopt, as_wanted, is_sound)
        assert top_layers(CLUSTER, "n0")["vda"].stat().st_dev == large.stat().st_dev
        assert read(top_layers(CLUSTER, "n0")["vda"])[0] == 8
        run(bed, start)
        assert read_present_of("n0") == 8
        run(bed, revert, as_wanted)
        assert read_present_of("n0") == 7
        run(bed, stop)
    finally:
        subprocess.run(["umount", kept], capture_output=True, check=False)


def test_while_the_overlays_are_away_nobody_gets_an_empty_disk(bed: Bed) -> None:
    """A file system that is not mounted, or a move that is under way while the service looks."""
    bed.write_topology(CLUSTER, nodes=2, edit=small_nodes)
    kept, away = bed.settings.overlay_dir, bed.directory / "away"
    run(bed, define, start, snap_with_memory)
    write_block(CLUSTER, "n0", 0, 8)
    run(bed, stop)
    before = files_in(kept)
    kept.rename(away)

    async def refused(session: Session) -> None:
        for verb in (start(session), session.clusters.apply(CLUSTER, wait_for_ssh=False)):
            with pytest.raises(ClusterError, match=r"would lose .* is no longer there \(mount it") as caught:
                await verb
            assert caught.value.code is ErrorCode.APPROVAL_REQUIRED

    run(bed, refused)
    assert files_in(kept) == {}
    shutil.rmtree(kept, ignore_errors=True)
    away.rename(kept)
    assert files_in(kept) == before
    run(bed, start, as_wanted, is_sound)
    assert read_present_of("n0") == 8


async def apply_whatever_is_lost(session: Session) -> None:
    await session.clusters.apply(CLUSTER, approval=Approval(restart=True, data_loss=True), wait_for_ssh=False)


def test_disks_that_are_gone_begin_empty_once_that_is_agreed_to(bed: Bed) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define, stop)
    write_block(CLUSTER, "n0", 0, 8)
    shutil.rmtree(bed.settings.overlay_dir)
    run(bed, apply_whatever_is_lost, as_wanted)
    assert read_present_of("n0") == 0


def files_in(directory: Path) -> dict[str, int]:
    """The files by name, with their inodes; of logs nothing."""
    return {str(path): path.stat().st_ino for path in directory.rglob("*") if path.is_file() and path.suffix != ".log"}


def read_present_of(node: str) -> int:
    return read(top_layers(CLUSTER, node)["vda"])[0]
