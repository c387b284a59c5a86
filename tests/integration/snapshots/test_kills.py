"""SIGKILL at every boundary of every verb on snapshots: exact to the byte, nothing half-made, nobody left standing.

The machines have an empty disk and sit in their firmware: they run, write nothing and cost nothing. What a guest
would have written is written through QEMU.
"""

from collections.abc import Callable

import libvirt
import pytest

from reconciler.errors import SnapshotNotFound
from reconciler.files.ownership import read_mark
from tests.integration.bed import Bed, Session, host_libvirt
from tests.integration.kills import Verb, Verbs, kill_at_every_boundary, run
from tests.integration.snapshots.films import (
    assert_blocks,
    assert_nothing_is_left_over,
    small_nodes,
    states,
    top_layers,
    write_block,
)

pytestmark = pytest.mark.long

CLUSTER = "film"
VERBS = Verbs(CLUSTER)
define, start, start_paused = VERBS.define, VERBS.start, VERBS.start_paused
RUNNING, PAUSED, OFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF


async def turn_off_n1(session: Session) -> None:
    await session.clusters.crash(CLUSTER, "n1", restart_after=False)


async def create(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "one")


async def create_with_memory(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "one", include_memory=True)


async def create_another(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "two")


async def revert(session: Session) -> None:
    await session.snapshots.revert(CLUSTER, "one", wait=False)


async def delete(session: Session) -> None:
    await session.snapshots.delete(CLUSTER, "one")


async def delete_if_there(session: Session) -> None:
    try:
        await session.snapshots.delete(CLUSTER, "one")
    except SnapshotNotFound:
        return


async def carry_out(session: Session) -> None:
    """What the next controller does with what the killed one has left."""
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=120)


def listed(*expected: str) -> Verb:
    async def look(session: Session) -> None:
        assert [info.snapshot_name for info in await session.snapshots.listing(CLUSTER)] == [*expected]

    return look


def writing(pattern: int) -> Verb:
    """The guests write to their first block."""

    async def write(_session: Session) -> None:
        for node in states(CLUSTER):
            write_block(CLUSTER, node, 0, pattern)

    return write


def assert_pattern(pattern: int) -> None:
    for node in states(CLUSTER):
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: pattern})


@pytest.fixture
def film(bed: Bed) -> Bed:
    """Two nodes that are off, with something on their disks."""
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define, writing(1))
    return bed


@pytest.fixture
def short_film(bed: Bed) -> Bed:
    """The same with one node: each boundary of a node costs seconds here."""
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define, writing(1))
    return bed


def check(bed: Bed, expected: dict[str, int], pattern: int, *snapshots: str) -> Callable[[], None]:
    def every_time() -> None:
        assert states(CLUSTER) == expected
        assert_pattern(pattern)
        assert_nothing_is_left_over(bed, CLUSTER)
        run(bed, listed(*snapshots))

    return every_time


def test_a_snapshot_of_machines_that_run_killed_anywhere_is_taken_and_nobody_stands_still(film: Bed) -> None:
    run(film, start)
    both_run = check(film, {"n0": RUNNING, "n1": RUNNING}, 1, "one")
    assert kill_at_every_boundary(film, [delete_if_there], create, carry_out, both_run) >= 5


def test_a_snapshot_of_a_paused_and_a_stopped_machine_killed_anywhere_leaves_them_so(film: Bed) -> None:
    run(film, start_paused, turn_off_n1)
    as_they_were = check(film, {"n0": PAUSED, "n1": OFF}, 1, "one")
    assert kill_at_every_boundary(film, [delete_if_there], create, carry_out, as_they_were) >= 5


def test_a_snapshot_with_memory_killed_anywhere_is_taken_and_nobody_stands_still(film: Bed) -> None:
    run(film, start)
    both_run = check(film, {"n0": RUNNING, "n1": RUNNING}, 1, "one")
    assert kill_at_every_boundary(film, [delete_if_there], create_with_memory, carry_out, both_run) >= 5


def test_a_revert_killed_anywhere_ends_exact_and_in_the_power_of_the_snapshot(film: Bed) -> None:
    run(film, start_paused, turn_off_n1, create)
    as_they_were = check(film, {"n0": PAUSED, "n1": OFF}, 1, "one")
    assert kill_at_every_boundary(film, [writing(2)], revert, carry_out, as_they_were) >= 12


def test_a_revert_with_memory_killed_anywhere_goes_on_once_and_ends_exact(short_film: Bed) -> None:
    run(short_film, start, create_with_memory)

    def every_time() -> None:
        check(short_film, {"n0": RUNNING}, 1, "one")()
        assert_went_on("n0")

    assert kill_at_every_boundary(short_film, [writing(2)], revert, carry_out, every_time) >= 12


def test_a_deletion_killed_anywhere_leaves_the_other_snapshot_and_the_present_exact(film: Bed) -> None:
    """The one that goes stands on the other, and what stands on it is not needed by anything else."""
    run(film, create_another)

    async def one_on_a_branch_of_its_own(session: Session) -> None:
        await delete_if_there(session)
        await session.snapshots.revert(CLUSTER, "two")
        await writing(2)(session)
        await create(session)
        await session.snapshots.revert(CLUSTER, "two")
        await writing(3)(session)

    async def revert_to_the_other(session: Session) -> None:
        await session.snapshots.revert(CLUSTER, "two")

    the_other_stays = check(film, {"n0": OFF, "n1": OFF}, 3, "two")
    assert kill_at_every_boundary(film, [one_on_a_branch_of_its_own], delete, carry_out, the_other_stays) >= 6
    run(film, revert_to_the_other)
    assert_pattern(1)


def assert_went_on(node: str) -> None:
    """It was resumed and did not boot; its layer keeps saying so."""
    with host_libvirt() as handle:
        assert handle.lookupByName(f"{CLUSTER}.{node}").state()[1] != libvirt.VIR_DOMAIN_RUNNING_BOOTED
    mark = read_mark(top_layers(CLUSTER, node)["vda"])
    assert mark is not None
    assert mark.facts["resumed"] == "yes"
