"""Disks that are made larger in the topology keep what is on them, and guests take the room up."""

from typing import Any

from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "grow"


async def test_larger_disks_keep_what_is_on_them_above_a_snapshot_running_or_off(bed: Bed) -> None:
    def write(root_gb: int, data_gb: int) -> None:
        disk = {"path": str(bed.directory / "data.qcow2"), "size_gb": data_gb}

        def edit(document: dict[str, Any]) -> None:
            document["disk_gb"] = root_gb
            document["nodes"][0]["extra_disks"] = [disk]

        bed.write_topology(CLUSTER, nodes=1, boots=True, edit=edit)

    async with bed.runtime() as runtime:
        session = Session(runtime)

        async def said(command: str) -> str:
            done = await session.nodes.run(CLUSTER, "n0", command, timeout_s=BOOT_TIMEOUT_S)
            assert done.exit_code == 0, done.stderr
            return done.stdout.strip()

        async def sizes() -> list[str]:
            """In GiB: the root disk's, its file system's, the extra disk's."""
            disks = await said("for of in vda vdb; do echo $(($(cat /sys/block/$of/size) >> 21)); done")
            root, data = disks.split()
            return [root, await said("df --output=size -BG / | tail -n 1 | tr -dc 0-9"), data]

        try:
            write(8, 1)
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            assert await sizes() == ["8", "8", "1"]
            await said("echo kept > /root/mark; echo kept | dd of=/dev/vdb conv=fsync status=none; sync")
            await session.snapshots.create(CLUSTER, "small", include_memory=True)

            write(10, 2)
            await session.clusters.apply(CLUSTER)
            assert await sizes() == ["10", "8", "2"]
            assert (await session.clusters.plan(CLUSTER)).plan.converged

            await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
            write(12, 3)
            await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
            assert await sizes() == ["12", "12", "3"]
            assert await said("cat /root/mark; head -c 4 /dev/vdb") == "kept\nkept"

            await session.snapshots.revert(CLUSTER, "small", ssh_timeout_s=BOOT_TIMEOUT_S)
            assert (await session.clusters.plan(CLUSTER)).plan.converged
            assert await said("cat /root/mark; df --output=size -BG / | tail -n 1 | tr -dc 0-9") == "kept\n8"
            await session.clusters.restart(CLUSTER, mode=StopMode.DESTROY, ssh_timeout_s=BOOT_TIMEOUT_S)
            assert await sizes() == ["12", "12", "3"]
        finally:
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
