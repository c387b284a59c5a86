"""One real guest: what was done after the snapshot never happened, and what ran in it runs on."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.errors import ClusterError
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.disks.qcow2 import read_image_facts
from reconciler.host.libvirt.driver import Libvirt
from reconciler.host.libvirt.memory_file import allocated_bytes, publish_memory
from reconciler.host.libvirt.snapshot_xml import stacked
from reconciler.host.libvirt.snapshots import Snapshots
from reconciler.model import names
from reconciler.model.document import Domain, Layer
from reconciler.model.plan import Epochs
from tests.integration.bed import LIBVIRT_URI, Bed, Session

CLUSTER = "rewind"
NODE = "n0"
BOOT_TIMEOUT_S = 240.0


@pytest.fixture
async def guest(bed: Bed, session: Session) -> AsyncIterator[Session]:
    """A booted machine that is about to be rewound."""
    bed.write_topology(CLUSTER, nodes=1)
    await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
    yield session
    await session.clusters.destroy(CLUSTER, remove_overlays=True)


@pytest.fixture
async def driver() -> AsyncIterator[Libvirt]:
    """libvirt as the product uses it, apart from the session's own."""
    driver = Libvirt(LIBVIRT_URI)
    yield driver
    driver.close()


async def test_a_guest_goes_on_where_its_memory_was_taken(bed: Bed, guest: Session, driver: Libvirt) -> None:
    snapshots, watch = Snapshots(driver.connection), Stopwatch()
    memory = names.cluster_dir(bed.settings.overlay_dir, CLUSTER) / "memory.test"
    await _in_guest(guest, "echo kept > /root/file; nohup sleep 11111 >/dev/null 2>&1 &")
    boot_id = await _in_guest(guest, "cat /proc/sys/kernel/random/boot_id")
    frozen = await _definition(driver)
    layer = await _layer_on(bed, frozen, revision=0, depth=1)

    await driver.suspend(CLUSTER, NODE)
    watch.lap("paused")
    await snapshots.switch_disks(CLUSTER, NODE, {"vda": layer}, memory=memory)
    watch.lap("switched with memory")
    await driver.resume(CLUSTER, NODE, resume_epoch=0)
    watch.lap("resumed")
    publish_memory(memory, cluster=CLUSTER)
    watch.lap("published")
    print(f"memory file: {allocated_bytes(memory) >> 20} MiB")

    await _in_guest(guest, "echo changed > /root/file; touch /root/late; sync; nohup sleep 22222 >/dev/null 2>&1 &")
    assert await _in_guest(guest, "pgrep -fx 'sleep 22222' >/dev/null && cat /root/file") == "changed"

    disk = stacked(frozen.disks["vda"], await _layer_on(bed, frozen, revision=1, depth=0))
    wanted = frozen.model_copy(update={"disks": {**frozen.disks, "vda": disk}})
    watch.lap("prepared")
    await driver.cut_power(CLUSTER, NODE, boot_epoch=0)
    watch.lap("cut")
    await driver.define_domain(CLUSTER, NODE, wanted, Epochs())
    await snapshots.restore(CLUSTER, NODE, memory, wanted, Epochs())
    watch.lap("restored")
    await driver.resume(CLUSTER, NODE, resume_epoch=0)
    watch.lap("resumed")
    behind_s = time.time() - float(await _first_answer(guest, "date +%s.%N"))
    watch.lap("SSH answered")
    assert await snapshots.set_guest_time(CLUSTER, NODE)
    watch.lap("clock stepped")
    print(f"the clock was {behind_s:.1f} s behind")

    assert abs(time.time() - float(await _in_guest(guest, "date +%s.%N"))) < 2
    assert (
        await _in_guest(guest, "cat /root/file; ls /root/late 2>/dev/null; pgrep -fxc 'sleep 22222'; true") == "kept\n0"
    )
    assert await _in_guest(guest, "pgrep -fxc 'sleep 11111'") == "1"
    assert await _in_guest(guest, "cat /proc/sys/kernel/random/boot_id") == boot_id

    assert await snapshots.freeze_filesystems(CLUSTER, NODE) >= 1
    watch.lap("frozen")
    assert await snapshots.thaw_filesystems(CLUSTER, NODE) >= 1
    watch.lap("thawed")
    assert await _in_guest(guest, "touch /root/thawed && sync && echo written") == "written"


class Stopwatch:
    """Prints how long each step took."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        print(f"{step}: {now - self._last:.3f} s")
        self._last = now


async def _definition(driver: Libvirt) -> Domain:
    record = (await driver.find_domains(CLUSTER))[NODE].record
    assert record is not None
    return record.domain


async def _layer_on(bed: Bed, domain: Domain, *, revision: int, depth: int) -> Path:
    path = names.layer_path(bed.settings.overlay_dir, CLUSTER, NODE, "vda", revision, depth)
    below = domain.disks["vda"]
    size_bytes = await asyncio.to_thread(_size_bytes, below.path)
    layer = Layer(node=NODE, disk="vda", size_bytes=size_bytes, backing=below.path, backing_format=below.format)
    await LayerDriver().create_layer(path, layer, cluster=CLUSTER)
    return path


def _size_bytes(path: Path) -> int:
    return read_image_facts(path).size_bytes


async def _in_guest(session: Session, command: str) -> str:
    answer = await session.nodes.run(CLUSTER, NODE, command, timeout_s=60)
    return answer.stdout.strip()


async def _first_answer(session: Session, command: str) -> str:
    """Ask until the machine answers; connections from before the restore are dead."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = await session.nodes.run(CLUSTER, NODE, command, timeout_s=5)
            if answer.exit_code == 0:
                return answer.stdout.strip()
        except ClusterError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)
