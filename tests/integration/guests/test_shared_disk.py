"""A disk that several nodes write to."""

import os
from typing import Any

import pytest

from reconciler.errors import InvalidArgument
from tests.integration.bed import Bed, Session
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "share"


async def test_nodes_read_what_others_write_to_a_shared_disk_and_it_stays_when_they_go(bed: Bed) -> None:
    path, made = bed.directory / "shared.raw", bed.directory / "made.raw"
    path.touch()
    os.truncate(path, 64 << 20)

    def edit(document: dict[str, Any]) -> None:
        for node in document["nodes"]:
            node["extra_disks"] = [
                {"path": str(path), "existing": True, "shared": True},
                {"path": str(made), "size_gb": 1, "shared": True},
            ]

    bed.write_topology(CLUSTER, nodes=2, boots=True, edit=edit)
    async with bed.runtime() as runtime:
        session = Session(runtime)

        async def said(node: str, command: str) -> str:
            done = await session.nodes.run(CLUSTER, node, command, timeout_s=BOOT_TIMEOUT_S)
            assert done.exit_code == 0, done.stderr
            return done.stdout.strip()

        async def write(node: str, disk: str, block: int) -> None:
            pad = f"printf %-4096s {node}-{block} | dd of=/dev/{disk} bs=4096 seek={block} oflag=direct iflag=fullblock"
            await said(node, f"{pad} status=none")

        async def read(node: str, disk: str, block: int) -> str:
            return await said(node, f"dd if=/dev/{disk} bs=4096 skip={block} count=1 iflag=direct status=none")

        try:
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            assert (await session.clusters.plan(CLUSTER)).plan.converged
            for block, (writer, reader) in enumerate((("n0", "n1"), ("n1", "n0"), ("n0", "n1"))):
                for disk in ("vdb", "vdc"):
                    await write(writer, disk, block)
                    assert await read(reader, disk, block) == f"{writer}-{block}"
            assert made.stat().st_blocks * 512 < 1 << 20, "it takes room as it is written to"
            with pytest.raises(InvalidArgument, match=f"a snapshot cannot include {path}, disk vdb"):
                await session.snapshots.create(CLUSTER, "none")
        finally:
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
    content = path.read_bytes()
    assert [content[block * 4096 :][:4] for block in range(3)] == [b"n0-0", b"n1-1", b"n0-2"]
    assert not made.exists()
