"""Any sequence of writing, taking, reverting and deleting, on real disks, compared with a model after each step.

The model of a disk is which pattern each of its blocks holds; that of a snapshot is a copy of it.
"""

import random
from pathlib import Path

import pytest

from reconciler.desired import chains
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import (
    assert_blocks,
    assert_nothing_is_left_over,
    small_nodes,
    top_layers,
    write_block,
)

CLUSTER = "film"
BLOCKS = 4
STEPS = 30
NAMES = ("a", "b", "c", "d")

Content = dict[int, int]


class Film:
    """One node that is off or in its firmware, its snapshots, and what all of them should hold."""

    def __init__(self, bed: Bed, session: Session, seed: int) -> None:
        self.bed = bed
        self.session = session
        self.chance = random.Random(seed)
        self.now: Content = dict.fromkeys(range(BLOCKS), 0)
        self.then: dict[str, Content] = {}
        self.patterns = 0

    async def step(self) -> None:
        """Something that can be asked for now."""
        verbs = [self.write, self.write, self.destroy_and_define]
        verbs += [self.create, self.create] if len(self.then) < len(NAMES) else []
        verbs += [self.revert, self.revert, self.delete] if self.then else []
        await self.chance.choice(verbs)()

    async def write(self) -> None:
        block = self.chance.randrange(BLOCKS)
        self.patterns = self.patterns % 255 + 1
        write_block(CLUSTER, "n0", block, self.patterns)
        self.now[block] = self.patterns

    async def create(self) -> None:
        name = self.chance.choice([name for name in NAMES if name not in self.then])
        await self.session.snapshots.create(CLUSTER, name)
        self.then[name] = dict(self.now)

    async def revert(self) -> None:
        name = self.chance.choice(sorted(self.then))
        await self.session.snapshots.revert(CLUSTER, name, wait=False)
        self.now = dict(self.then[name])

    async def delete(self) -> None:
        name = self.chance.choice(sorted(self.then))
        await self.session.snapshots.delete(CLUSTER, name)
        del self.then[name]

    async def destroy_and_define(self) -> None:
        await self.session.clusters.destroy(CLUSTER)
        await self.session.clusters.define(CLUSTER)
        if self.chance.random() < 0.3:
            await self.session.clusters.start(CLUSTER, wait_for_ssh=False)

    async def check(self) -> None:
        """The disk and every snapshot hold what they should; there is nothing else."""
        assert_blocks(top_layers(CLUSTER, "n0")["vda"], self.now)
        listed = {info.snapshot_name: info for info in await self.session.snapshots.listing(CLUSTER)}
        assert listed.keys() == self.then.keys()
        for name, content in self.then.items():
            assert_blocks(Path(listed[name].per_node["n0"].disk_path), content)
        assert_nothing_is_left_over(self.bed, CLUSTER)


@pytest.mark.parametrize("seed", range(3))
async def test_every_disk_and_every_snapshot_holds_what_a_model_of_it_holds(
    bed: Bed, session: Session, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(chains, "MOST_SPARE_LAYERS", seed)  # with none, each deletion may flatten
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    await session.clusters.define(CLUSTER)
    film = Film(bed, session, seed)
    for _ in range(STEPS):
        await film.step()
        await film.check()
