"""Power of single nodes, on machines without an operating system."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from reconciler.errors import Obstructed
from reconciler.model.choices import StopMode
from reconciler.model.faults import Groups, PartitionRequest
from reconciler.model.record import WantedPower
from tests.integration.bed import Bed, Session, host_libvirt
from tests.waiting import eventually

CLUSTER = "power"


def running() -> set[str]:
    with host_libvirt() as handle:
        domains = handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)
        return {domain.name().partition(".")[2] for domain in domains if domain.name().startswith(f"{CLUSTER}.")}


async def end(node: str, sent: signal.Signals) -> None:
    """Signal a node's QEMU: SIGTERM shuts the machine down in QEMU's and libvirt's eyes, as a guest does."""
    process_id = await asyncio.to_thread(Path(f"/run/libvirt/qemu/{CLUSTER}.{node}.pid").read_text)
    os.kill(int(process_id), sent)
    await eventually(lambda: node not in running())


async def something_else(session: Session) -> None:
    """A round, for a change that has nothing to do with power."""
    await session.faults.inject(CLUSTER, PartitionRequest(shape=Groups(groups=(("n0",), ("n1", "n2")))))


@pytest.fixture
async def up(bed: Bed, session: Session) -> AsyncIterator[Session]:
    """n0 always runs, n1 stays off however it ends, n2 when it shuts down."""

    def edit(document: Any) -> None:
        document["nodes"][1]["restart"] = "never"
        document["nodes"][2]["restart"] = "on-crash"

    bed.write_topology(CLUSTER, nodes=3, edit=edit)
    await session.clusters.apply(CLUSTER, wait_for_ssh=False)
    yield session
    await session.faults.heal_all(CLUSTER)


async def test_a_node_that_turns_itself_off_stays_off_where_the_topology_says_so(up: Session) -> None:
    for node in ("n0", "n1", "n2"):
        await end(node, signal.SIGTERM)
    await something_else(up)
    assert running() == {"n0"}
    record = await up.runtime.store.get(CLUSTER)
    assert record is not None
    assert {name for name, intent in record.nodes.items() if intent.power is WantedPower.OFF} == {"n1", "n2"}
    await up.clusters.start(CLUSTER, nodes=["n1"], wait_for_ssh=False)
    assert running() == {"n0", "n1"}
    await up.clusters.apply(CLUSTER, wait_for_ssh=False)
    assert running() == {"n0", "n1", "n2"}


@pytest.mark.parametrize("verb", ["start", "apply"])
async def test_a_start_is_carried_out_also_where_no_round_has_seen_that_the_node_ended(up: Session, verb: str) -> None:
    await end("n1", signal.SIGTERM)
    await getattr(up.clusters, verb)(CLUSTER, wait_for_ssh=False)
    assert running() == {"n0", "n1", "n2"}


async def test_a_machine_that_fails_is_started_again_except_where_the_policy_is_never(up: Session) -> None:
    for node in ("n1", "n2"):
        await end(node, signal.SIGKILL)
    await something_else(up)
    assert running() == {"n0", "n2"}


async def test_nodes_are_started_stopped_and_restarted_beside_one_that_stands_still(up: Session) -> None:
    await up.clusters.stop(CLUSTER, mode=StopMode.DESTROY, nodes=["n2"])
    with host_libvirt() as handle:
        handle.lookupByName(f"{CLUSTER}.n1").suspend()
    started = await up.clusters.start(CLUSTER, nodes=["n2"], wait_for_ssh=False)
    states = {node.name: node.domain_state for node in started.nodes}
    assert states == {"n0": "running", "n1": "paused", "n2": "running"}
    await up.clusters.restart(CLUSTER, nodes=["n2"], mode=StopMode.DESTROY, wait_for_ssh=False)
    await up.clusters.crash(CLUSTER, "n0", wait_for_ssh=False)
    await up.clusters.stop(CLUSTER, mode=StopMode.DESTROY, nodes=["n0", "n2"])
    assert running() == set()
    with pytest.raises(Obstructed, match="the guest is paused"):
        await up.clusters.apply(CLUSTER, start=False)
    await up.clusters.start(CLUSTER, wait_for_ssh=False)
    assert running() == {"n0", "n1", "n2"}


async def test_single_nodes_are_stopped_started_and_restarted(up: Session) -> None:
    await up.clusters.stop(CLUSTER, mode=StopMode.DESTROY, nodes="n0")
    await something_else(up)
    assert running() == {"n1", "n2"}
    before = await up.runtime.store.get(CLUSTER)
    await up.clusters.restart(CLUSTER, nodes=["n0", "n1"], mode=StopMode.DESTROY, wait_for_ssh=False)
    after = await up.runtime.store.get(CLUSTER)
    assert running() == {"n0", "n1", "n2"}
    assert before is not None
    assert after is not None
    cycled = {name for name in after.nodes if after.nodes[name].boot_epoch > before.nodes[name].boot_epoch}
    assert cycled == {"n0", "n1"}
    assert (await up.clusters.plan(CLUSTER)).plan.converged
