"""The events of every kind of store."""

from datetime import UTC, datetime

import pytest

from reconciler.model.event import ClusterEvent, EventKind
from reconciler.store import sql_tables
from reconciler.store.etcd import etcd_history
from tests.unit.store.client import AnyStore
from tests.unit.store.samples import with_boots
from tests.unit.store.test_store import put_new
from tests.waiting import PATIENCE_S


def events(name: str, *numbers: int) -> list[ClusterEvent]:
    now, kind = datetime.now(UTC), EventKind.ACTION_DONE
    return [
        ClusterEvent(cluster_name=name, at=now, kind=kind, subject="Start:n0", message=f"{name} {number}")
        for number in numbers
    ]


def said(found: list[ClusterEvent]) -> list[str]:
    return [event.message for event in found]


async def test_events_are_told_in_their_order_of_one_cluster_or_of_all(store: AnyStore) -> None:
    assert (await store.events(None), await store.newest_event()) == ([], 0)
    await store.add_events(events("b", 1, 2))
    await store.add_events([*events("a", 3), *events("b", 4)])
    assert said(await store.events("b")) == ["b 1", "b 2", "b 4"]
    assert said(await store.events("a")) == ["a 3"]
    found = await store.events(None)
    assert said(found) == ["b 1", "b 2", "a 3", "b 4"]
    numbers = [event.number for event in found]
    assert numbers == sorted(set(numbers))
    assert await store.newest_event() >= numbers[-1]


async def test_reading_on_after_a_number_misses_no_event_and_repeats_none(store: AnyStore) -> None:
    await store.add_events(events("lab", 1, 2, 3))
    first, second, _ = await store.events("lab")
    assert said(await store.events("lab", after=first.number)) == ["lab 2", "lab 3"]
    assert said(await store.events(None, after=second.number)) == ["lab 3"]
    newest = await store.newest_event()
    assert await store.events(None, after=newest) == []
    await store.add_events(events("lab", 4))
    assert said(await store.events(None, after=newest)) == ["lab 4"]


async def test_each_cluster_keeps_its_last_thousand_also_after_its_record_is_removed(store: AnyStore) -> None:
    await put_new(store)
    await store.add_events(events("other", 0))
    for begin in range(0, 1300, 100):
        await store.add_events(events("lab", *range(begin, begin + 100)))
    await store.remove("lab", expected_generation=1, actor="test")
    assert said(await store.events("lab")) == [f"lab {number}" for number in range(300, 1300)]
    assert said(await store.events("other")) == ["other 0"]


async def test_of_clusters_that_are_gone_the_last_keep_history_and_events_and_all_keep_numbers_and_marks(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (etcd_history, sql_tables):
        monkeypatch.setattr(module, "KEPT_GONE", 2)
    names, origins = ["c", "a", "d", "b"], {}
    for name in ("lab", *names):
        record = await put_new(store, name)
        await store.put(with_boots(record, 1), expected_generation=1, actor="test")
        origins[name] = await store.origin(name, 2)
        await store.add_events(events(name, 0))
    for name in names:
        await store.remove(name, expected_generation=2, actor="test")
    kept = {"lab": 2, "c": 0, "a": 0, "d": 3, "b": 3}
    assert {name: len(await store.history(name)) for name in kept} == kept
    assert {name for name in kept if await store.events(name)} == {"lab", "d", "b"}
    for name, origin in origins.items():
        assert origin is not None
        assert (await store.lineage(name, [origin])).known == {origin}
    assert (await put_new(store, "c")).generation == 4
    assert [of.generation for of in await store.history("c")] == [4]


async def test_an_event_is_a_change(store: AnyStore) -> None:
    watch = await store.watch()
    await store.add_events(events("lab", 1))
    assert await watch.wait(timeout_s=PATIENCE_S)
