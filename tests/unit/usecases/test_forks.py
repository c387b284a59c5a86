"""What is said before a fork is made."""

import asyncio
from ipaddress import IPv4Address

import pytest

from reconciler.concurrency import together
from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, InvalidArgument, OperationFailed, SnapshotNotFound
from reconciler.model.document import ClusterDocument, LentFiles, Snapshot, Unknown
from reconciler.model.record import ClusterRecord, ForkedFrom
from reconciler.records import record_changes
from reconciler.records.fork_records import forked
from reconciler.runtime import Runtime
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.forks import Forks
from reconciler.usecases.forks_of_clusters import require_not_held
from reconciler.usecases.snapshots import Snapshots
from tests.unit.records.test_fork_records import ORIGIN, SNAPSHOT

OF = ForkedFrom(cluster="lab", snapshot="warm", identity="lab", lenders=("lab",), store="0a", generation=1)


async def put(runtime: Runtime, record: ClusterRecord) -> None:
    await runtime.store.put(record, expected_generation=0, actor="test")


@pytest.fixture
async def forks(applied: Clusters, runtime: Runtime) -> Forks:
    await put(runtime, forked(ORIGIN, "try", OF, SNAPSHOT, IPv4Address("192.168.77.254")))
    return Forks(runtime, actor="test")


async def with_snapshot_name(runtime: Runtime, name: str, snapshot: str) -> None:
    record = await fork_record(runtime, "lab")
    spec = record.spec.model_copy(update={"snapshot_names": {name: snapshot}})
    changed = record.model_copy(update={"spec": spec})
    await runtime.store.put(changed, expected_generation=record.generation, actor="test")


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


@pytest.fixture
def recorded_only(applied: Clusters, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with snapshot `warm` of the cluster, and nothing of a fork; forks are recorded and go no further."""

    async def observe(record: ClusterRecord, *_: object) -> ClusterDocument:
        await asyncio.sleep(0)
        return ClusterDocument(snapshots={"warm": SNAPSHOT})

    async def nothing(*_: object, **__: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(runtime.looks, "observe", observe)
    monkeypatch.setattr(runtime.controller, "converge", nothing)
    monkeypatch.setattr(Forks, "_require_possible", nothing)
    monkeypatch.setattr(Forks, "_usable", nothing)


async def fork_record(runtime: Runtime, name: str) -> ClusterRecord:
    record = await runtime.store.get(name)
    assert record is not None
    return record


@pytest.mark.usefixtures("recorded_only")
async def test_forks_that_are_made_at_once_never_share_an_address_of_the_host(runtime: Runtime) -> None:
    """Forks of one cluster wait for each other; those of different ones have a subnet in common all the same."""
    await Forks(runtime, actor="test").make("lab", "try", snapshot="warm")
    calls = [(origin, f"{origin}-{number}") for origin in ("lab", "try") for number in range(3)]
    await together(*(Forks(runtime, actor="test").make(*call, snapshot="warm") for call in calls))
    given = {(await fork_record(runtime, name)).spec.network.host_address for _, name in calls}
    assert len(given) == len(calls)


@pytest.mark.usefixtures("recorded_only")
async def test_a_call_that_is_repeated_answers_the_fork_that_it_made(runtime: Runtime) -> None:
    await with_snapshot_name(runtime, "baseline", "warm")
    forks = Forks(runtime, actor="test")
    for _ in range(2):
        await forks.make("lab", "try", snapshot="baseline")
    made = await fork_record(runtime, "try")
    assert str(made.forked_from) == "lab@warm"
    with pytest.raises(Conflict, match="'try' is a fork of lab@warm"):
        await forks.make("lab", "try", snapshot="cold")


@pytest.mark.usefixtures("recorded_only")
async def test_a_fork_of_what_a_fork_stands_on_is_made_once(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    forks = Forks(runtime, actor="test")
    await forks.make("lab", "try", snapshot="warm")

    async def observe(*_: object) -> ClusterDocument:
        return ClusterDocument(snapshots={"warm": SNAPSHOT.model_copy(update={"held": True})})

    monkeypatch.setattr(runtime.looks, "observe", observe)
    for _ in range(2):
        await forks.make("try", "second", snapshot="warm")
    assert str((await fork_record(runtime, "second")).forked_from) == "lab@warm"


@pytest.mark.usefixtures("recorded_only")
async def test_a_call_that_is_repeated_while_the_first_takes_its_snapshot_waits_for_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    async def take(_: Forks, origin: ClusterRecord, first: str) -> tuple[str, Snapshot]:
        taken.append(f"{origin.cluster_name}@for-{first}")
        await asyncio.sleep(0.05)
        return f"for-{first}", SNAPSHOT

    monkeypatch.setattr(Forks, "_taken_for", take)
    await together(*(Forks(runtime, actor="test").make("lab", "try") for _ in range(3)))
    assert taken == ["lab@for-try"]


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


def test_what_the_host_says_of_forks_counts_also_without_their_records() -> None:
    held = LentFiles(snapshot="warm", disks=(), below=())
    require_not_held("cold", ClusterDocument(forks={"try": held}))
    with pytest.raises(Conflict, match=r"'warm' stays, as try stands on it: .*cluster_destroy"):
        require_not_held("warm", ClusterDocument(forks={"try": held}))
    unread = Unknown(unknown="forked-from.json is damaged", code=ErrorCode.OPERATION_FAILED)
    with pytest.raises(OperationFailed, match=r"'cold' stays: forked-from\.json is damaged"):
        require_not_held("cold", ClusterDocument(forks={"try": unread}))
