"""Several real processes on one store."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.store.sqlite import FILE_NAME
from tests.unit.store.client import AnyStore, opened
from tests.unit.store.conftest import Spawn
from tests.unit.store.samples import sample_record
from tests.unit.store.test_store import put_new, replayed, without_generation

pytestmark = [pytest.mark.long, pytest.mark.processes]

PROCESSES = 4
INCREMENTS = 25
KILLS = 8


async def test_increments_of_many_processes_are_all_kept(store: AnyStore, spawn: Spawn) -> None:
    await put_new(store)
    clients = [await spawn("increment", INCREMENTS) for _ in range(PROCESSES)]
    assert [await client.wait() for client in clients] == [0] * PROCESSES
    record = await store.get("lab")
    assert record is not None
    assert record.nodes["alpha"].boot_epoch == PROCESSES * INCREMENTS
    assert record.generation == 1 + PROCESSES * INCREMENTS
    assert [entry.generation for entry in await store.history("lab")] == list(range(1, record.generation + 1))


async def test_processes_that_make_the_store_at_once_share_one(place: str) -> None:
    stores = [opened(place) for _ in range(12)]
    names = [f"lab{index}" for index in range(len(stores))]
    await asyncio.gather(*(put_new(store, name) for store, name in zip(stores, names, strict=True)))
    assert await stores[0].names() == sorted(names)
    for store in stores:
        await store.close()


async def test_a_writer_killed_in_a_burst_loses_no_acknowledged_change_and_leaves_no_half_one(
    place: str, spawn: Spawn
) -> None:
    async with opened(place) as store:
        await store.put(sample_record(), expected_generation=0, actor="test")
    newest = 1
    pauses = random.Random(7)
    for _ in range(KILLS):
        client = await spawn("burst")
        assert client.stdout is not None
        first = await client.stdout.readline()
        await asyncio.sleep(pauses.uniform(0, 0.15))
        client.kill()
        printed, _ = await client.communicate()
        acknowledged = max(int(line) for line in (first + printed).split(b"\n")[:-1])
        async with opened(place) as store:
            record = await store.get("lab")
            history = await store.history("lab")
        assert record is not None
        assert record.generation >= max(acknowledged, newest)
        newest = record.generation
        assert record.generation == record.nodes["alpha"].boot_epoch + 1 == len(history)
        assert replayed([entry.patch for entry in history]) == without_generation(record)
    assert newest > KILLS
    if (file := Path(place) / FILE_NAME).exists():
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
