"""Extra disks of forks: layers above the origin's files, which stay as they are."""

from typing import Any

from reconciler.model.names import cluster_dir
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import assert_blocks, top_layers, write_block

CLUSTER, FORK, SECOND = "film", "film-fork", "film-second"
BLOCK = 65536


async def test_extra_disks_are_forked_and_stay_apart_also_those_of_the_user(bed: Bed, session: Session) -> None:
    made, given = bed.directory / "made.qcow2", bed.directory / "given.raw"
    given.write_bytes(b"\1" * BLOCK + bytes(BLOCK))

    def with_disks(document: dict[str, Any]) -> None:
        document["nodes"][0]["memory_mb"] = 64
        document["nodes"][0]["extra_disks"] = [
            {"path": str(made), "size_gb": 1},
            {"path": str(given), "existing": True},
        ]

    bed.write_topology(CLUSTER, nodes=1, edit=with_disks)
    await session.clusters.apply(CLUSTER, start=False)
    await session.snapshots.create(CLUSTER, "then")
    await session.forks.make(CLUSTER, FORK, snapshot="then", wait=False)
    write_block(FORK, "n0", 0, 7)
    tops = top_layers(FORK, "n0")
    assert {path.parent for path in tops.values()} == {cluster_dir(bed.settings.overlay_dir, FORK)}
    assert_blocks(tops["vdc"], {0: 1, 1: 0})
    assert_blocks(top_layers(CLUSTER, "n0")["vda"], {0: 0})

    await session.clusters.start(FORK, wait_for_ssh=False)
    await session.clusters.start(CLUSTER, wait_for_ssh=False)
    await session.snapshots.create(FORK, "own", include_memory=True)
    await session.forks.make(FORK, SECOND, snapshot="own", wait=False)
    assert_blocks(top_layers(SECOND, "n0")["vda"], {0: 7})
    assert_blocks(top_layers(SECOND, "n0")["vdc"], {0: 1, 1: 0})
    for cluster in (SECOND, FORK, CLUSTER):
        await session.clusters.destroy(cluster, remove_overlays=True)
        assert made.exists() == (cluster != CLUSTER), "it goes with the cluster that it was made for"
    assert given.read_bytes() == b"\1" * BLOCK + bytes(BLOCK)
    assert not list(bed.settings.overlay_dir.iterdir())
