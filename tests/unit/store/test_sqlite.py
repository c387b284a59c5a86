"""What only the embedded store does."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.errors import StoreUnavailable
from reconciler.store.sqlite import FILE_NAME, SqliteStore
from tests.unit.store.samples import with_boots
from tests.unit.store.test_store import put_new
from tests.waiting import PATIENCE_S


async def test_the_event_loop_runs_on_while_another_process_holds_the_write_lock(
    sqlite_store: SqliteStore, state_dir: Path
) -> None:
    record = await put_new(sqlite_store)
    blocker = sqlite3.connect(state_dir / "records.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    change = asyncio.create_task(sqlite_store.put(with_boots(record, 1), expected_generation=1, actor="test"))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.sleep(0.2)
        assert await sqlite_store.get("lab") == record
    assert not change.done()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert (await change).generation == 2


async def test_a_record_that_was_read_before_and_is_damaged_since_cannot_be_read(
    sqlite_store: SqliteStore, state_dir: Path
) -> None:
    await put_new(sqlite_store)
    assert await sqlite_store.get("lab") is not None
    with closing(sqlite3.connect(state_dir / FILE_NAME)) as connection:
        connection.execute("UPDATE record SET document = '{}'")
        connection.commit()
    for read in (sqlite_store.get, sqlite_store.standing):
        with pytest.raises(StoreUnavailable, match="cannot be read"):
            await read("lab")
