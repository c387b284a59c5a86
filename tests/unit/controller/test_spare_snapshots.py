"""A snapshot that was taken for forks goes with the last of them, also if nobody was left to delete it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from reconciler.controller import spare_snapshots
from reconciler.controller.amendments import CONTROLLER, with_snapshots_of_forks
from reconciler.files.marked_files import CLUSTER_DIR_MODE, ensure_directory
from reconciler.host.disks.manifests import finish_snapshot, snapshot_dir
from reconciler.model.document import ClusterDocument, LentFiles
from reconciler.model.record import ClusterRecord, ForkedFrom
from reconciler.model.snapshot import Manifest
from reconciler.records import record_changes
from reconciler.records.fork_records import forked
from reconciler.store.sqlite import SqliteStore
from tests.unit.records.test_fork_records import ORIGIN, SNAPSHOT

NAME, MINE = "for-try", "mine"
OF = ForkedFrom(cluster="lab", snapshot=NAME, identity="lab", lenders=("lab",), store="0a", generation=1)
FREE = ClusterDocument(snapshots={NAME: SNAPSHOT, MINE: SNAPSHOT})
HELD = FREE.model_copy(update={"forks": {"try": LentFiles(snapshot=NAME, disks=(), below=())}})
NEVER = timedelta(days=36500)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state")
    yield opened
    await opened.close()


@pytest.fixture
async def origin(store: SqliteStore, tmp_path: Path) -> ClusterRecord:
    """A cluster with a snapshot of its user's and one that was taken for a fork, both taken long ago."""
    spec = ORIGIN.spec.model_copy(update={"overlay_dir": tmp_path})
    record = ORIGIN.model_copy(update={"spec": spec, "snapshots": {}})
    for name in (NAME, MINE):
        record = record_changes.with_snapshot(record, name, include_memory=False, quiesce=False, for_forks=name == NAME)
        ensure_directory(snapshot_dir(tmp_path, "lab", name), mode=CLUSTER_DIR_MODE)
        manifest = Manifest(
            cluster_name="lab",
            snapshot_name=name,
            request=record.snapshots[name].request,
            include_memory=False,
            pause_s=0,
            created_at=datetime(2026, 1, 2, tzinfo=UTC),
            nodes=SNAPSHOT.nodes,
        )
        finish_snapshot(tmp_path, manifest)
    return await store.put(record, expected_generation=0, actor="user")


async def test_it_is_dropped_by_a_round_that_finds_no_fork(store: SqliteStore, origin: ClusterRecord) -> None:
    after = await with_snapshots_of_forks(store, origin, FREE)
    assert list(after.snapshots) == [MINE]
    assert f"snapshot/{NAME}" in after.consent, "nobody has to agree to lose it"
    assert [entry.actor for entry in await store.history("lab")] == ["user", CONTROLLER]
    assert await with_snapshots_of_forks(store, after, FREE) is after


async def test_it_stays_while_a_fork_stands_on_it(store: SqliteStore, origin: ClusterRecord) -> None:
    assert await with_snapshots_of_forks(store, origin, HELD) is origin


async def test_it_stays_while_the_record_of_a_fork_names_it(store: SqliteStore, origin: ClusterRecord) -> None:
    record = forked(ORIGIN, "try", OF, SNAPSHOT, IPv4Address("192.168.77.254"))
    await store.put(record, expected_generation=0, actor="user")
    assert await with_snapshots_of_forks(store, origin, FREE) is origin


async def test_it_stays_while_a_fork_may_be_about_to_be_recorded(
    store: SqliteStore, origin: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_snapshots, "BEING_FORKED", NEVER)
    assert await with_snapshots_of_forks(store, origin, FREE) is origin


async def test_one_that_a_fork_came_to_hold_while_it_was_deleted_is_kept_and_then_goes_with_the_fork(
    store: SqliteStore, origin: ClusterRecord
) -> None:
    dropped = await store.put(
        record_changes.without_snapshot(origin, NAME), expected_generation=origin.generation, actor="user"
    )
    kept = await with_snapshots_of_forks(store, dropped, HELD)
    assert kept.snapshots[NAME].for_forks
    assert kept.snapshots[NAME].request == SNAPSHOT.request
    assert await with_snapshots_of_forks(store, kept, HELD) is kept
    assert list((await with_snapshots_of_forks(store, kept, FREE)).snapshots) == [MINE]


async def test_it_stays_with_a_cluster_whose_disks_are_kept(store: SqliteStore, origin: ClusterRecord) -> None:
    kept = record_changes.deleted(origin, remove_overlays=False)
    assert await with_snapshots_of_forks(store, kept, FREE) is kept
