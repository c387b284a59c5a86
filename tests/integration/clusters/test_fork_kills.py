"""SIGKILL at every action boundary of forking and of destroying a fork: nothing lost, nothing half there.

The machines have an empty disk and sit in their firmware, paused: their memory is saved and restored, nothing boots,
and no login is waited for.
"""

import shutil
import subprocess

import libvirt
import pytest

from reconciler.errors import ClusterError, Conflict
from reconciler.model.names import cluster_dir
from tests.integration.bed import Bed, Session, audit
from tests.integration.kills import Verbs, kill_at_every_boundary, run
from tests.integration.snapshots.films import (
    assert_blocks,
    assert_nothing_is_left_over,
    states,
    top_layers,
    write_block,
)

pytestmark = pytest.mark.long

CLUSTER, FORK, NAME = "film", "film-fork", "then"
ORIGIN = Verbs(CLUSTER)
PAUSED = {"n0": libvirt.VIR_DOMAIN_PAUSED}


async def take_snapshot(session: Session) -> None:
    await session.snapshots.create(CLUSTER, NAME, include_memory=True)


async def fork(session: Session) -> None:
    await session.forks.make(CLUSTER, FORK, snapshot=NAME, wait=False)


async def fork_from_now(session: Session) -> None:
    await session.forks.make(CLUSTER, FORK, wait=False)


async def destroy(session: Session) -> None:
    await session.clusters.destroy(FORK, remove_overlays=True)


async def destroy_if_there(session: Session) -> None:
    if await session.runtime.store.get(FORK) is not None:
        await destroy(session)


async def only_its_own_snapshot_is_left(session: Session) -> None:
    assert [info.snapshot_name for info in await session.snapshots.listing(CLUSTER)] == [NAME]


async def destroy_origin_is_refused(session: Session) -> None:
    with pytest.raises(ClusterError, match=FORK):
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


@pytest.fixture
def origin(bed: Bed) -> Bed:
    """A cluster of one node that stands still and has written to its disk, with a snapshot of that."""

    def small(document: dict[str, list[dict[str, object]]]) -> None:
        document["nodes"][0]["memory_mb"] = 64

    bed.write_topology(CLUSTER, nodes=1, edit=small)
    run(bed, ORIGIN.define, ORIGIN.start_paused)
    write_block(CLUSTER, "n0", 0, 1)
    run(bed, take_snapshot)
    return bed


def test_forking_killed_anywhere_ends_in_one_whole_fork(origin: Bed) -> None:
    def check() -> None:
        assert states(CLUSTER) == states(FORK) == PAUSED
        for cluster in (CLUSTER, FORK):
            assert_blocks(top_layers(cluster, "n0")["vda"], {0: 1})
        assert_nothing_is_left_over(origin, CLUSTER)
        assert len(list(cluster_dir(origin.settings.overlay_dir, CLUSTER).glob("snapshots/*"))) == 1
        run(origin, destroy_origin_is_refused)

    assert kill_at_every_boundary(origin, [destroy_if_there], fork, fork, check) >= 15
    write_block(FORK, "n0", 0, 2)
    assert_blocks(top_layers(CLUSTER, "n0")["vda"], {0: 1})


def test_destroying_a_fork_killed_anywhere_leaves_nothing_of_it_and_its_origin_whole(origin: Bed) -> None:
    def check() -> None:
        assert audit(origin).active == {f"{CLUSTER}.n0"}
        assert not cluster_dir(origin.settings.overlay_dir, FORK).exists()
        assert_blocks(top_layers(CLUSTER, "n0")["vda"], {0: 1})
        assert_nothing_is_left_over(origin, CLUSTER)

    assert kill_at_every_boundary(origin, [fork], destroy, destroy, check) >= 8


def test_a_fork_killed_while_its_snapshot_is_taken_leaves_no_snapshot_behind(origin: Bed) -> None:
    """A memory is saved once for as long as the CPUs stand still, so the machine is off: its disks are forked."""
    run(origin, ORIGIN.stop)

    def check() -> None:
        assert states(FORK) == states(CLUSTER) == {"n0": libvirt.VIR_DOMAIN_SHUTOFF}
        assert_blocks(top_layers(FORK, "n0")["vda"], {0: 1})
        run(origin, destroy, only_its_own_snapshot_is_left)

    assert kill_at_every_boundary(origin, [], fork_from_now, fork_from_now, check) >= 12


def test_a_fork_whose_record_is_lost_is_found_by_its_marks_with_what_leads_to_it(origin: Bed) -> None:
    async def lose_record(session: Session) -> None:
        record = await session.runtime.store.get(FORK)
        assert record is not None
        await session.runtime.store.remove(FORK, expected_generation=record.generation, actor="test")

    async def destroy_by_marks(session: Session) -> None:
        await session.clusters.destroy_by_marks(FORK, remove_overlays=True)

    run(origin, fork, lose_record)
    assert "lookup" in rules_of_forks()
    run(origin, destroy_by_marks)
    assert audit(origin).active == {f"{CLUSTER}.n0"}
    assert not cluster_dir(origin.settings.overlay_dir, FORK).exists()
    assert rules_of_forks() == ""


def test_a_fork_is_adopted_by_its_record_after_its_files_were_restored_from_a_backup(origin: Bed) -> None:
    async def adopt_origin(session: Session) -> None:
        await session.clusters.adopt(CLUSTER)

    async def adopt_fork(session: Session) -> None:
        await session.clusters.adopt(FORK)

    run(origin, fork, ORIGIN.stop, Verbs(FORK).stop)
    overlays = origin.settings.overlay_dir
    backup = overlays.with_name("backup")
    subprocess.run(["cp", "-a", overlays, backup], check=True)
    shutil.rmtree(overlays)
    subprocess.run(["cp", "-a", backup, overlays], check=True)
    run(origin, adopt_origin, adopt_fork, Verbs(FORK).start_paused)
    assert states(FORK) == PAUSED
    assert_blocks(top_layers(FORK, "n0")["vda"], {0: 1})
    run(origin, destroy_origin_is_refused)


def test_a_fork_whose_record_is_lost_is_not_adopted_and_the_error_says_what_can_be_done(origin: Bed) -> None:
    async def lose_record(session: Session) -> None:
        record = await session.runtime.store.get(FORK)
        assert record is not None
        await session.runtime.store.remove(FORK, expected_generation=record.generation, actor="test")

    async def adopt(session: Session) -> None:
        with pytest.raises(Conflict, match="'film-fork' is a fork, and its record") as caught:
            await session.clusters.adopt(FORK)
        assert "--force" in str(caught.value)

    run(origin, fork, lose_record, adopt)


def rules_of_forks() -> str:
    return subprocess.run(["ip", "rule", "show", "pref", "1000"], capture_output=True, text=True, check=True).stdout
