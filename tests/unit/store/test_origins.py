"""Which change of which store's record a thing on the host comes from."""

import shutil
import sqlite3
from pathlib import Path

from reconciler.model.origin import Origin
from reconciler.store import database
from reconciler.store.sqlite import FILE_NAME, SqliteStore
from tests.unit.store.client import AnyStore
from tests.unit.store.samples import sample_record, with_boots


async def changed(store: AnyStore, *boots: int) -> None:
    """Write the record, then once more with each number of power cycles."""
    record = await store.get("lab") or await store.put(sample_record(), expected_generation=0, actor="test")
    for number in boots:
        record = await store.put(with_boots(record, number), expected_generation=record.generation, actor="test")


async def test_each_generation_has_an_origin_of_its_own_that_its_store_knows(store: AnyStore) -> None:
    await changed(store, 1)
    first, second = await store.origin("lab", 1), await store.origin("lab", 2)
    assert first is not None
    assert second is not None
    assert (first.store == second.store, first.token == second.token) == (True, False)
    assert (await store.lineage("lab", [first, second])).known == {first, second}
    assert (await store.lineage("other", [first, second])).known == set()
    assert await store.origin("lab", 3) is None


async def test_a_copy_of_a_store_knows_what_it_was_copied_with_and_not_what_the_other_did_since(
    state_dir: Path, tmp_path: Path
) -> None:
    async with SqliteStore(state_dir) as store:
        await changed(store, 1)
    shutil.copytree(state_dir, tmp_path / "copy")
    async with SqliteStore(state_dir) as store, SqliteStore(tmp_path / "copy") as copy:
        await changed(store, 2)
        shared, later = await store.origin("lab", 2), await store.origin("lab", 3)
        assert shared is not None
        assert later is not None
        assert (await copy.lineage("lab", [shared, later])).known == {shared}
        await changed(copy, 5)
        assert (await copy.lineage("lab", [shared, later])).known == {shared}, "both have a generation 3 now"
        assert (await store.lineage("lab", [shared, later])).known == {shared, later}


async def test_two_stores_know_nothing_of_each_other(state_dir: Path, tmp_path: Path) -> None:
    async with SqliteStore(state_dir) as one, SqliteStore(tmp_path / "other") as other:
        await changed(one)
        await changed(other)
        mine = await one.origin("lab", 1)
        assert mine is not None
        assert (await other.lineage("lab", [mine])).known == set()


async def test_a_store_of_an_earlier_version_gets_an_identity_and_its_history_tokens(state_dir: Path) -> None:
    state_dir.mkdir()  # noqa: ASYNC240
    connection = sqlite3.connect(state_dir / FILE_NAME)
    for steps in database._VERSIONS[:2]:
        connection.executescript(steps)
    for generation in (1, 2):
        connection.execute("INSERT INTO history VALUES ('lab', ?, 'test', '2026-01-01T00:00:00Z', '[]')", (generation,))
    connection.execute("PRAGMA user_version = 2")
    connection.execute(f"PRAGMA application_id = {database._APPLICATION_ID}")
    connection.commit()
    connection.close()
    async with SqliteStore(state_dir) as store:
        origins = [await store.origin("lab", generation) for generation in (1, 2)]
        assert len({of.token for of in origins if of is not None and of.token}) == 2


def test_the_term_of_a_host_is_in_marks_and_older_versions_read_marks_without_one() -> None:
    alone = Origin(store="s", generation=1, token="t")
    assert "term" not in alone.model_dump_json()
    assert "term" not in alone.attributes
    of_host = alone.model_copy(update={"term": 7})
    assert of_host == alone, "a later term has made nothing else"
    assert Origin.model_validate_json(of_host.model_dump_json()).term == 7
    read = Origin.read(of_host.attributes)
    assert read is not None
    assert read.term == 7
