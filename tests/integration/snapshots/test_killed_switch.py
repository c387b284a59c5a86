"""libvirtd dies when QEMU has put a layer on, and before that is written down: no layer that is written to is lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.errors import SnapshotFailed
from tests.integration.bed import Bed, Session, host_libvirt
from tests.integration.snapshots.films import (
    assert_blocks,
    assert_nothing_is_left_over,
    small_nodes,
    top_layers,
    write_block,
)
from tests.lab.daemons import start_libvirtd, stop_libvirtd

CLUSTER = "film"
NODES = ("n0", "n1")
_GIVE_UP_S = 30.0


def written_by_qemu(node: str) -> str:
    """The layer that the node's QEMU has open for writing, by its open files; empty while there are two or none."""
    process = Path("/proc") / Path(f"/run/libvirt/qemu/{CLUSTER}.{node}.pid").read_text().strip()
    written = set()
    for file in (process / "fd").iterdir():
        try:
            target = str(file.readlink())
            flags = (process / "fdinfo" / file.name).read_text().split("flags:")[1].split()[0]
        except FileNotFoundError:
            continue
        if target.endswith(".qcow2") and int(flags, 8) & os.O_RDWR:
            written.add(target)
    return written.pop() if len(written) == 1 else ""


def is_switched(node: str) -> bool:
    return written_by_qemu(node).endswith(".1.qcow2")


@contextmanager
def nothing_is_written_down(*directories: str) -> Iterator[None]:
    """libvirtd cannot write the definitions in these directories: the names that it would write to first are taken."""
    taken = [Path(directory) / f"{CLUSTER}.{node}.xml.new" for directory in directories for node in NODES]
    for path in taken:
        path.mkdir()
    try:
        yield
    finally:
        for path in taken:
            path.rmdir()


def kill_once_switched() -> None:
    """Kill libvirtd as soon as both machines write to their new layers."""
    until = time.monotonic() + _GIVE_UP_S
    while not all(map(is_switched, NODES)) and time.monotonic() < until:
        time.sleep(0.0005)
    stop_libvirtd(signal.SIGKILL)


def live_files(node: str) -> str:
    with host_libvirt() as handle:
        return str(handle.lookupByName(f"{CLUSTER}.{node}").XMLDesc())


class KilledSwitch:
    """A checkpoint: when the machines stand still, libvirtd writes nothing more down and is killed at the switch."""

    def __init__(self, directories: list[str]) -> None:
        self._directories = directories
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def __call__(self, name: str) -> None:
        if name == "after Suspend" and self._thread.ident is None:
            self._thread.start()
            self._begun.wait()

    def wait(self) -> None:
        """Return when libvirtd answers again."""
        self._thread.join()

    def _kill(self) -> None:
        with nothing_is_written_down(*self._directories):
            self._begun.set()
            kill_once_switched()
        start_libvirtd()


@pytest.mark.parametrize("include_memory", [False, True], ids=["disks", "memory"])
@pytest.mark.parametrize("persistent", [False, True], ids=["status", "status-and-definition"])
async def test_what_is_written_after_a_switch_that_libvirt_does_not_know_of_is_kept(
    bed: Bed, session: Session, include_memory: bool, persistent: bool
) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    await session.clusters.define(CLUSTER)
    await session.clusters.start(CLUSTER, wait_for_ssh=False)
    for node in NODES:
        write_block(CLUSTER, node, 0, 1)
    killed = KilledSwitch(["/run/libvirt/qemu", *(["/etc/libvirt/qemu"] if persistent else [])])
    async with bed.runtime(killed) as runtime:
        with pytest.raises(SnapshotFailed):
            await Session(runtime).snapshots.create(CLUSTER, "one", include_memory=include_memory)
    killed.wait()
    assert all(".1.qcow2" not in live_files(node) for node in NODES), "libvirt knows: nothing was provoked"
    await assert_kept(bed, session)


async def assert_kept(bed: Bed, session: Session) -> None:
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    await session.runtime.controller.converge(record, timeout_s=120)
    for node in NODES:
        write_block(CLUSTER, node, 1, 2)
    with pytest.raises(SnapshotFailed, match="libvirtd was killed while it added that layer"):
        await session.snapshots.create(CLUSTER, "two")
    assert await session.snapshots.listing(CLUSTER) == []
    for node in NODES:
        await session.clusters.crash(CLUSTER, node, wait_for_ssh=False)
        assert_blocks(top_layers(CLUSTER, node)["vda"], {0: 1, 1: 2})
    await session.snapshots.create(CLUSTER, "three")
    assert [info.snapshot_name for info in await session.snapshots.listing(CLUSTER)] == ["three"]
    assert_nothing_is_left_over(bed, CLUSTER)
