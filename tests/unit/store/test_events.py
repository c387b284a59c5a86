"""The events of every kind of store."""

from datetime import UTC, datetime

from reconciler.model.event import ClusterEvent, EventKind
from tests.unit.store.client import AnyStore
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


async def test_an_event_is_a_change(store: AnyStore) -> None:
    watch = await store.watch()
    await store.add_events(events("lab", 1))
    assert await watch.wait(timeout_s=PATIENCE_S)
