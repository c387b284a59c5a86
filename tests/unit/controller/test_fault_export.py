"""The file with the active faults that other programs read."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller.fault_export import FaultExport
from reconciler.controller.journal import no_observer
from reconciler.controller.round_input import round_input_of
from reconciler.controller.status_writer import StatusWriter
from reconciler.faults.observed import active_faults
from reconciler.model.faults import Halves, NetFaultInfo
from reconciler.model.status import RecordStatus
from reconciler.store.sqlite import SqliteStore
from tests.simulation.worlds import running_record
from tests.unit.faults.samples import partition

NODES = ("alpha", "beta")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPLIT = active_faults([partition(Halves(), NODES, name="split")], NODES, {}, NOW)
UNSEEN = active_faults([partition(Halves(), NODES, name="split")], NODES, None, NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state")
    for name in ("one", "two"):
        record = running_record(*NODES).model_copy(update={"cluster_name": name})
        await opened.put(record, expected_generation=0, actor="test")
    yield opened
    await opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faults" / "registry.json"


def status(cluster: str, faults: tuple[NetFaultInfo, ...] = ()) -> RecordStatus:
    return RecordStatus(cluster_name=cluster, observed_generation=1, converged=True, faults=faults, updated_at=NOW)


def exported(path: Path) -> dict[str, Any]:
    clusters: dict[str, Any] = json.loads(path.read_text())["clusters"]
    return clusters


def as_answered(faults: tuple[NetFaultInfo, ...]) -> list[dict[str, Any]]:
    return [fault.model_dump(mode="json") for fault in faults]


def files_in(path: Path) -> dict[str, int]:
    """What is in the file's directory, with inode numbers."""
    return {of.name: of.stat().st_ino for of in path.parent.glob("*")}


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def overwrite(path: Path, content: str | None) -> None:
    """Somebody else writes the file, or deletes it."""
    if content is None:
        path.unlink()
    else:
        path.write_text(content)


async def put(store: SqliteStore, path: Path, after: RecordStatus) -> None:
    """A round ends with this status."""
    standing = await store.standing(after.cluster_name)
    assert standing is not None
    await StatusWriter(store, FaultExport(path, store)).write(round_input_of(standing, None), after, no_observer)


async def test_faults_are_told_as_the_list_tells_them_and_leave_the_file_when_they_are_healed(
    store: SqliteStore, path: Path
) -> None:
    await put(store, path, status("one", UNSEEN))
    assert exported(path) == {"one": as_answered(UNSEEN)}
    await put(store, path, status("one", SPLIT))
    assert exported(path) == {"one": as_answered(SPLIT)}
    assert await store.status("one") == status("one", SPLIT)
    await put(store, path, status("one"))
    assert exported(path) == {}


async def test_other_programs_may_read_it(store: SqliteStore, path: Path) -> None:
    await put(store, path, status("one", SPLIT))
    assert [mode_of(of) for of in (path, path.parent)] == [0o644, 0o755]


async def test_nothing_is_written_where_nothing_changed_or_there_never_was_a_fault(
    store: SqliteStore, path: Path
) -> None:
    await put(store, path, status("one"))
    assert files_in(path) == {}
    await put(store, path, status("one", SPLIT))
    written = files_in(path)
    await put(store, path, status("one", SPLIT))
    assert files_in(path) == written, "what is written again is another file"


async def test_a_file_that_somebody_deleted_or_changed_is_made_from_the_store_and_not_read_back(
    store: SqliteStore, path: Path
) -> None:
    await put(store, path, status("one", SPLIT))
    overwrite(path, None)
    await put(store, path, status("one", SPLIT))
    assert exported(path) == {"one": as_answered(SPLIT)}
    overwrite(path, "{")
    await put(store, path, status("two", SPLIT))
    assert set(exported(path)) == {"one", "two"}


async def test_rounds_of_several_clusters_at_once_lose_nothing_of_each_other(store: SqliteStore, path: Path) -> None:
    await asyncio.gather(*(put(store, path, status(name, SPLIT)) for name in ("one", "two")))
    assert set(exported(path)) == {"one", "two"}


async def test_a_cluster_that_goes_leaves_the_file(store: SqliteStore, path: Path) -> None:
    await put(store, path, status("one", SPLIT))
    await put(store, path, status("two", SPLIT))
    await FaultExport(path, store).forget("one")
    assert set(exported(path)) == {"two"}


async def test_a_file_that_cannot_be_written_keeps_no_round_from_its_word_and_is_tried_again(
    store: SqliteStore, path: Path
) -> None:
    overwrite(path.parent, "in the way")
    await put(store, path, status("one", SPLIT))
    told = await store.status("one")
    assert (told and told.converged, told and told.faults) == (True, ())
    overwrite(path.parent, None)
    await put(store, path, status("one", SPLIT))
    assert exported(path) == {"one": as_answered(SPLIT)}
