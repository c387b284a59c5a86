"""How often the host is looked at: once for what is decided, and once more after what was done."""

from pathlib import Path
from random import Random

from reconciler.controller.retries import Retries
from reconciler.faults.requests import Sides, partition_request
from reconciler.model.document import Snapshot
from reconciler.model.snapshot import FrozenDisk, SnapshotNode, SnapshotPower
from reconciler.records import record_changes
from reconciler.runtime import Runtime
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.network_faults import Faults
from reconciler.usecases.snapshots import Snapshots
from tests.simulation.worlds import CLUSTER, CLUSTER_DIR, as_wanted
from tests.unit.usecases.seen_host import SPEC, SeenHost


def counts(host: SeenHost) -> tuple[int, int]:
    """The looks at the host, and the plans that were carried out."""
    return host.looks, len(host.done)


async def test_an_apply_with_nothing_to_do_looks_once(applied: Clusters, host: SeenHost) -> None:
    await applied.apply("lab", start=False)
    assert counts(host) == (1, 0)


async def test_an_apply_that_starts_nodes_looks_before_and_after_and_answers_from_what_it_saw_last(
    applied: Clusters, host: SeenHost
) -> None:
    status = await applied.apply("lab", wait_for_ssh=False)
    assert counts(host) == (2, 1)
    assert {node.domain_state for node in status.nodes} == {"running"}


async def test_starting_restarting_and_stopping_nodes_look_before_and_after(applied: Clusters, host: SeenHost) -> None:
    started = await applied.start(CLUSTER, wait_for_ssh=False)
    assert (counts(host), {node.domain_state for node in started.nodes}) == ((2, 1), {"running"})
    host.forget()
    await applied.start(CLUSTER, wait_for_ssh=False)
    assert counts(host) == (1, 0)
    host.forget()
    await applied.restart(CLUSTER, nodes="alpha", wait_for_ssh=False)
    assert counts(host) == (2, 1)
    host.forget()
    stopped = await applied.stop(CLUSTER)
    assert (counts(host), {node.domain_state for node in stopped.nodes}) == ((2, 1), {"shut off"})


async def test_a_partition_looks_before_and_after(applied: Clusters, host: SeenHost, runtime: Runtime) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    host.forget()
    await Faults(runtime, actor="test").inject(
        CLUSTER, partition_request(Sides(partition_a=("alpha",), partition_b=("beta",)))
    )
    assert counts(host) == (2, 1)


def frozen(node: str) -> SnapshotNode:
    disk = FrozenDisk(path=Path(f"{CLUSTER_DIR}/{node}.vda.r0.0.qcow2"), format="qcow2")
    return SnapshotNode(power=SnapshotPower.OFF, disks={"vda": disk})


async def test_a_revert_looks_before_and_after_and_so_does_the_deletion_of_a_snapshot(
    applied: Clusters, host: SeenHost, runtime: Runtime
) -> None:
    before = await runtime.store.get(CLUSTER)
    assert before is not None
    record = record_changes.with_snapshot(before, "base", include_memory=False, quiesce=False)
    await runtime.store.put(record, expected_generation=before.generation, actor="test")
    taken = Snapshot(request=1, include_memory=False, nodes={node: frozen(node) for node in SPEC.nodes})
    there = as_wanted(before).model_copy(update={"snapshots": {"base": taken}})
    host.find = lambda: there
    snapshots = Snapshots(runtime, actor="test")
    await snapshots.revert(CLUSTER, "base", wait=False)
    assert counts(host) == (2, 1)
    host.forget()
    await snapshots.delete(CLUSTER, "base")
    assert counts(host) == (2, 1)


async def test_an_idle_round_of_a_watched_cluster_looks_once_and_writes_nothing(
    applied: Clusters, host: SeenHost, runtime: Runtime
) -> None:
    await runtime.rounds.run(CLUSTER, retries=Retries(Random(1)))
    said = await runtime.store.status(CLUSTER)
    host.forget()
    result = await runtime.rounds.run(CLUSTER, retries=Retries(Random(1)))
    assert (counts(host), len(host.plans), result.converged) == ((1, 0), 1, True)
    assert await runtime.store.status(CLUSTER) == said
