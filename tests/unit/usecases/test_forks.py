"""What is said before a fork is made."""

from ipaddress import IPv4Address

import pytest

from reconciler.errors import Conflict, InvalidArgument, SnapshotNotFound
from reconciler.model.record import ClusterRecord, ForkedFrom
from reconciler.records import record_changes
from reconciler.records.fork_records import forked
from reconciler.runtime import Runtime
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.forks import Forks
from reconciler.usecases.snapshots import Snapshots
from tests.unit.records.test_fork_records import ORIGIN, SNAPSHOT

OF = ForkedFrom(cluster="lab", snapshot="warm", identity="lab", lenders=("lab",), store="0a", generation=1)


async def put(runtime: Runtime, record: ClusterRecord) -> None:
    await runtime.store.put(record, expected_generation=0, actor="test")


@pytest.fixture
async def forks(applied: Clusters, runtime: Runtime) -> Forks:
    await put(runtime, forked(ORIGIN, "try", OF, SNAPSHOT, IPv4Address("192.168.77.254")))
    return Forks(runtime, actor="test")


async def test_a_name_that_is_taken_is_refused(forks: Forks, runtime: Runtime) -> None:
    with pytest.raises(Conflict, match="'lab' exists, and is no fork"):
        await forks.make("lab", "lab")
    with pytest.raises(Conflict, match="'try' is a fork of lab@warm"):
        await forks.make("lab", "try", snapshot="cold")
    record = await runtime.store.get("try")
    assert record is not None
    destroyed = record_changes.deleted(record, remove_overlays=False)
    await runtime.store.put(destroyed, expected_generation=record.generation, actor="test")
    with pytest.raises(Conflict, match="'try' was destroyed, and its disks are kept") as caught:
        await forks.make("lab", "try")
    assert "remove_overlays=true" in str(caught.value)


async def test_a_name_that_no_cluster_can_have_is_refused(forks: Forks) -> None:
    with pytest.raises(InvalidArgument, match="is not a valid cluster name"):
        await forks.make("lab", "No Name")


async def test_a_snapshot_that_does_not_exist_is_not_forked(forks: Forks, runtime: Runtime) -> None:
    with pytest.raises(SnapshotNotFound):
        await forks.make("lab", "other", snapshot="cold")
    assert await runtime.store.get("other") is None


async def test_what_a_fork_stands_on_is_kept_whether_the_fork_runs_or_not(
    forks: Forks, applied: Clusters, runtime: Runtime
) -> None:
    with pytest.raises(Conflict, match="cannot lose its disks: forks stand on its snapshots: try"):
        await applied.destroy("lab", remove_overlays=True)
    record = await runtime.store.get("lab")
    assert record is not None
    assert record.deletion is None
    await runtime.store.put(
        record_changes.with_snapshot(record, "warm", include_memory=False, quiesce=False),
        expected_generation=record.generation,
        actor="test",
    )
    with pytest.raises(Conflict, match="'warm' is in use: forks stand on it: try"):
        await Snapshots(runtime, actor="test").delete("lab", "warm")
