"""Chains that grew long are taken up into the layer that a disk writes to, and every byte stays where it was."""

import libvirt
import pytest

from reconciler.desired import chains
from tests.integration.bed import Bed, Session
from tests.integration.kills import kill_at_every_boundary, run
from tests.integration.snapshots.films import (
    assert_blocks,
    assert_nothing_is_left_over,
    chain_of,
    small_nodes,
    states,
    top_layers,
    write_block,
)

CLUSTER = "film"
NODE = "n0"
BLOCKS = 7
RUNNING, OFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_SHUTOFF


async def define(session: Session) -> None:
    await session.clusters.define(CLUSTER)


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def create_and_write(session: Session) -> None:
    """A history of two snapshots, with something written in each part of it."""
    for number, name in enumerate(("kept", "gone"), start=1):
        write_block(CLUSTER, NODE, number, number)
        await session.snapshots.create(CLUSTER, name)
    write_block(CLUSTER, NODE, 3, 3)


async def delete_gone(session: Session) -> None:
    await session.snapshots.delete(CLUSTER, "gone")


async def forget(session: Session) -> None:
    for info in await session.snapshots.listing(CLUSTER):
        await session.snapshots.delete(CLUSTER, info.snapshot_name)


async def carry_out(session: Session) -> None:
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=120)


@pytest.fixture
def film(bed: Bed) -> Bed:
    """One node that is off, on an empty disk."""
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define)
    return bed


@pytest.mark.parametrize(("up", "cycles"), [(False, 100), (True, 25)])
async def test_taking_and_deleting_snapshots_again_and_again_lets_no_chain_grow(
    film: Bed, session: Session, up: bool, cycles: int
) -> None:
    if up:
        await start(session)
    written: dict[int, int] = {}
    lengths = []
    for cycle in range(1, cycles + 1):
        written[cycle % BLOCKS] = cycle
        write_block(CLUSTER, NODE, cycle % BLOCKS, cycle)
        await session.snapshots.create(CLUSTER, "again")
        await session.snapshots.delete(CLUSTER, "again")
        lengths.append(len(chain_of(top_layers(CLUSTER, NODE)["vda"])))
    assert max(lengths) <= chains.MOST_SPARE_LAYERS + 2
    assert states(CLUSTER) == {NODE: RUNNING if up else OFF}
    assert_blocks(top_layers(CLUSTER, NODE)["vda"], written)
    assert_nothing_is_left_over(film, CLUSTER)


@pytest.mark.parametrize("up", [False, True])
def test_a_deletion_that_flattens_killed_anywhere_leaves_every_byte(
    film: Bed, monkeypatch: pytest.MonkeyPatch, up: bool
) -> None:
    monkeypatch.setattr(chains, "MOST_SPARE_LAYERS", 0)
    if up:
        run(film, start)

    def every_time() -> None:
        top = top_layers(CLUSTER, NODE)["vda"]
        assert_blocks(top, {1: 1, 2: 2, 3: 3})
        assert len(chain_of(top)) == 3  # itself, what the other snapshot is made of, and the image
        assert states(CLUSTER) == {NODE: RUNNING if up else OFF}
        assert_nothing_is_left_over(film, CLUSTER)

    assert kill_at_every_boundary(film, [forget, create_and_write], delete_gone, carry_out, every_time) >= 8
