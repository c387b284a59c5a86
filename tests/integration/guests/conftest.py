"""One cluster of three real machines for the tests in this directory: booted once, and rewound between tests.

The product's own snapshots with memory do that, so a test may crash nodes, fill them, or change the topology. The
cluster is destroyed before tests of other directories run, because they own all machines of their lab.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from reconciler.model.choices import StopMode
from reconciler.model.results import NodeStatus
from reconciler.model.status import ConditionType
from reconciler.records.approval import Approval
from tests.integration.bed import SHARED_CLUSTER, Bed, Session, temporary_bed
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S, eventually

NODES = ("n0", "n1", "n2")
FRESH = "fresh"


def on_console(session: Session, node: str, words: str) -> int:
    """How often a node's console has printed something since its cluster was created."""
    console = session.runtime.settings.overlay_dir / SHARED_CLUSTER / f"{node}.console.log"
    return console.read_bytes().count(words.encode())


async def provoked(session: Session, node: str, command: str, words: str) -> None:
    """Run a command in the background of a node, and wait until the console prints the expected words."""
    before = on_console(session, node, words)
    await session.nodes.run(SHARED_CLUSTER, node, f"({command}) >/dev/null 2>&1 </dev/null &", timeout_s=PATIENCE_S)
    await eventually(lambda: on_console(session, node, words) > before)


@pytest.fixture(scope="package")
def guest_bed() -> Iterator[Bed]:
    """The bed of the shared cluster, in a directory that QEMU's user may enter."""
    with temporary_bed() as bed:
        yield bed


@dataclass
class SharedCluster:
    """The booted cluster, and the snapshot with memory that brings it back to the moment after its boot."""

    session: Session
    bed: Bed
    touched: bool = False

    async def rewind(self) -> None:
        """Undo whatever a test has changed: links, topology, machines, and what is in them."""
        if self.touched:
            self.touched = False
            await self.session.faults.heal_all(SHARED_CLUSTER)
            await self._put_topology_back()
            await self.session.snapshots.revert(SHARED_CLUSTER, FRESH, ssh_timeout_s=BOOT_TIMEOUT_S)
            for info in await self.session.snapshots.listing(SHARED_CLUSTER):
                if info.snapshot_name != FRESH:
                    await self.session.snapshots.delete(SHARED_CLUSTER, info.snapshot_name)

    async def _put_topology_back(self) -> None:
        """First turn off machines with changed memory or disks, so that they do not boot only to be cut."""
        self.bed.write_topology(SHARED_CLUSTER, nodes=len(NODES), boots=True)
        if not (await self.session.clusters.plan(SHARED_CLUSTER, start=False)).plan.converged:
            await self.session.clusters.stop(SHARED_CLUSTER, mode=StopMode.DESTROY)
            approval = Approval(restart=True, data_loss=True)
            await self.session.clusters.apply(SHARED_CLUSTER, start=False, approval=approval)


@pytest.fixture(scope="package")
async def shared_cluster(guest_bed: Bed) -> AsyncIterator[SharedCluster]:
    """The cluster, booted once for all tests in this directory; it is destroyed with its client."""
    guest_bed.write_topology(SHARED_CLUSTER, nodes=len(NODES), boots=True)
    async with guest_bed.runtime() as runtime:
        session = Session(runtime)
        await session.clusters.apply(SHARED_CLUSTER, timeout_s=BOOT_TIMEOUT_S)
        await _without_stalls(session)
        await session.snapshots.create(SHARED_CLUSTER, FRESH, include_memory=True)
        yield SharedCluster(session, guest_bed)
        await session.clusters.destroy(SHARED_CLUSTER, remove_overlays=True)


async def _without_stalls(session: Session) -> None:
    """Have no node whose kernel stalled because this host gave it no processor: boot it again, with more patience.

    What is left on a disk before the first snapshot is in every test; what such a stall leaves would be in every log.
    """
    while stalled := [of.name for of in (await session.inspection.status(SHARED_CLUSTER)).nodes if _has_stalled(of)]:
        for node in stalled:
            await session.clusters.crash(SHARED_CLUSTER, node, ssh_timeout_s=BOOT_TIMEOUT_S)
    patience = "echo 300 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout"
    assert (await session.nodes.run_all(SHARED_CLUSTER, patience)).all_succeeded


def _has_stalled(node: NodeStatus) -> bool:
    return any(of.type is ConditionType.KERNEL_HEALTHY and of.reason == "RcuStall" for of in node.conditions)


@pytest.fixture
async def trio(shared_cluster: SharedCluster) -> Session:
    """The shared cluster with all nodes up, as they were after their boot."""
    await shared_cluster.rewind()
    shared_cluster.touched = True
    return shared_cluster.session


@pytest.fixture
async def untouched_trio(shared_cluster: SharedCluster) -> Session:
    """The same for a test that leaves the cluster and its contents unchanged: the next test need not rewind it."""
    await shared_cluster.rewind()
    return shared_cluster.session
