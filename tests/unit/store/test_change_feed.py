import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import StoreUnavailable
from reconciler.store.change_feed import POLL_INTERVAL_S
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.client import AnyStore, opened
from tests.unit.store.conftest import Spawn
from tests.unit.store.samples import sample_record, sample_status, with_boots
from tests.unit.store.test_store import put_new
from tests.waiting import PATIENCE_S

CHANGES = 10


async def test_a_change_by_another_process_is_noticed_at_once(
    store: AnyStore, spawn: Spawn, record_property: Callable[[str, object], None]
) -> None:
    first = await put_new(store)
    watch = await store.watch()
    noticed: list[int] = []
    client = await spawn("change", CHANGES)
    while len(noticed) < CHANGES:
        assert await watch.wait(timeout_s=10 * PATIENCE_S)
        now, record = time.monotonic_ns(), await store.get(first.cluster_name)
        assert record is not None
        noticed += [now] * (record.generation - first.generation - len(noticed))  # two may come at once
    printed, _ = await client.communicate()
    latencies_s = [(seen - int(made)) / 1e9 for seen, made in zip(noticed, printed.split(), strict=True)]
    record_property("latencies_ms", [round(latency_s * 1000) for latency_s in latencies_s])
    looks_s = sorted([await look_s(store) for _ in range(CHANGES)])
    assert sorted(latencies_s)[CHANGES // 2] < 2.5 * looks_s[CHANGES // 2]  # the promise is 100 ms


async def look_s(store: AnyStore) -> float:
    """How long a poll and a look take here and now."""
    began_s = time.monotonic()
    await asyncio.sleep(POLL_INTERVAL_S)
    await store.get("lab")
    return time.monotonic() - began_s


async def test_a_change_by_the_same_store_wakes_without_a_poll(store: AnyStore) -> None:
    record = await put_new(store)
    watch = await store.watch()
    waiter = asyncio.create_task(watch.wait(timeout_s=10 * PATIENCE_S))
    await asyncio.sleep(0.05)
    await store.put(with_boots(record, 1), expected_generation=1, actor="test")
    async with asyncio.timeout(PATIENCE_S):
        assert await waiter


async def test_nothing_changed_is_false_after_the_time(store: AnyStore) -> None:
    await put_new(store)
    watch = await store.watch()
    started = time.monotonic()
    assert not await watch.wait(timeout_s=0.2)
    assert time.monotonic() - started >= 0.2
    assert not await watch.wait(timeout_s=0)


async def test_a_change_between_two_waits_is_not_missed_and_counts_once(store: AnyStore) -> None:
    record = await put_new(store)
    watch = await store.watch()
    await store.put(with_boots(record, 1), expected_generation=1, actor="test")
    assert await watch.wait(timeout_s=0)
    assert not await watch.wait(timeout_s=0.1)


async def test_every_waiter_of_a_store_notices_every_change(store: AnyStore, place: str) -> None:
    record = await put_new(store)
    watches = [await store.watch() for _ in range(10)]
    async with opened(place) as other:
        for boots in (1, 2, 3):
            waiters = [asyncio.create_task(watch.wait(timeout_s=10 * PATIENCE_S)) for watch in watches]
            await asyncio.sleep(0)
            record = await other.put(with_boots(record, boots), expected_generation=boots, actor="test")
            assert all(await asyncio.gather(*waiters))
    assert not any(await asyncio.gather(*(watch.wait(timeout_s=0.1) for watch in watches)))


async def test_a_status_is_a_change_and_an_equal_record_is_none(store: AnyStore) -> None:
    await put_new(store)
    watch = await store.watch()
    await store.put(sample_record(), expected_generation=1, actor="test")
    assert not await watch.wait(timeout_s=0.1)
    await store.put_status(sample_status())
    assert await watch.wait(timeout_s=0)


async def test_a_cancelled_wait_loses_no_change_and_stops_no_other(store: AnyStore, place: str) -> None:
    record = await put_new(store)
    first, second = await store.watch(), await store.watch()
    waiters = [asyncio.create_task(watch.wait(timeout_s=10 * PATIENCE_S)) for watch in (first, second)]
    await asyncio.sleep(0.1)
    waiters[0].cancel()
    async with opened(place) as other:
        await other.put(with_boots(record, 1), expected_generation=1, actor="test")
    assert await waiters[1]
    assert await first.wait(timeout_s=0)


async def test_waits_that_come_and_go_quickly_are_all_served(store: AnyStore, place: str) -> None:
    record = await put_new(store)
    watch = await store.watch()
    async with opened(place) as other:
        for boots in range(1, 15):
            for _ in range(3):
                assert not await watch.wait(timeout_s=0.01)
            record = await other.put(with_boots(record, boots), expected_generation=boots, actor="test")
            async with asyncio.timeout(PATIENCE_S):
                assert await watch.wait(timeout_s=10 * PATIENCE_S)


async def test_a_waiter_is_told_when_the_store_is_taken_away(sqlite_store: SqliteStore, state_dir: Path) -> None:
    await put_new(sqlite_store)
    watch = await sqlite_store.watch()
    (state_dir / "records.sqlite").rename(state_dir / "elsewhere")
    with pytest.raises(StoreUnavailable):
        await watch.wait(timeout_s=PATIENCE_S)


async def test_closing_does_not_wait_for_a_waiter(place: str) -> None:
    store = opened(place)
    watch = await store.watch()
    waiter = asyncio.create_task(watch.wait(timeout_s=10 * PATIENCE_S))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(PATIENCE_S):
        await store.close()
    waiter.cancel()
    await asyncio.wait({waiter})


async def test_an_idle_waiter_costs_next_to_no_processor_time(store: AnyStore) -> None:
    await put_new(store)
    watch = await store.watch()
    before = sum(os.times()[:2])
    assert not await watch.wait(timeout_s=1.5)
    assert (sum(os.times()[:2]) - before) / 1.5 < 0.05  # measured at well under 0.01; the rest is for a loaded machine
