"""A store's clusters written into another store, of whatever kind."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.store.protocol import Store
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.client import AnyStore, opened
from tests.unit.store.samples import sample_record, sample_status, with_boots
from tests.unit.store.test_store import put_new


def event(number: int) -> ClusterEvent:
    message, kind = f"event {number}", EventKind.DRIFT_FOUND
    return ClusterEvent(cluster_name="lab", at=datetime.now(UTC), kind=kind, subject="layer/alpha/vda", message=message)


async def lived_in(store: Store) -> None:
    """A cluster with all there may be, and one that was removed."""
    record = await put_new(store)
    for boots in range(1, 60):
        record = await store.put(with_boots(record, boots), expected_generation=boots, actor="test")
    await store.put_status(sample_status())
    for _ in range(3):
        await store.request_round("lab")
    await store.add_events([event(number) for number in range(120)])
    await put_new(store, "gone")
    await store.remove("gone", expected_generation=1, actor="test")


async def copy(before: Store, after: Store) -> None:
    await after.take_identity(await before.identity())
    for name in await before.known():
        await after.load(await before.exported(name))


@pytest.fixture
def other_place(place: str, tmp_path: Path) -> str:
    """Another empty store, in a directory: each kind is once the source and once the target."""
    return str(tmp_path / "other")


@pytest.mark.parametrize("into_directory", [True, False])
async def test_a_copy_holds_all_and_goes_on_where_the_other_was(
    place: str, other_place: str, *, into_directory: bool
) -> None:
    places = (place, other_place) if into_directory else (other_place, place)
    async with opened(places[0]) as before, opened(places[1]) as after:
        await lived_in(before)
        await copy(before, after)
        await copy(before, after)  # as after one that was interrupted
        for name in ("lab", "gone"):
            assert await after.exported(name) == await before.exported(name)
            assert await after.history(name) == await before.history(name)
        assert (await after.get("lab"), await after.names()) == (await before.get("lab"), ["lab"])
        assert await after.status("lab") == await before.status("lab")
        assert [of.message for of in await after.events("lab")] == [f"event {number}" for number in range(120)]
        origins = [await before.origin("lab", generation) for generation in (1, 60)]
        assert (await after.lineage("lab", [of for of in origins if of])).known == set(origins)
        assert await after.request_round("lab") == 4
        record = await after.get("lab")
        assert record is not None
        assert (await after.put(with_boots(record, 99), expected_generation=60, actor="test")).generation == 61
        assert (await put_new(after, "gone")).generation == 3


async def test_a_store_with_clusters_of_its_own_takes_no_other_identity(store: AnyStore, tmp_path: Path) -> None:
    mine = await store.identity()
    await put_new(store)
    async with SqliteStore(tmp_path / "other") as other:
        with pytest.raises(Conflict, match="has clusters of its own"):
            await store.take_identity(await other.identity())
    assert (await store.identity(), await store.names()) == (mine, ["lab"])
    await store.take_identity(mine)


async def test_what_cannot_be_read_is_copied_as_it_is(store: AnyStore, tmp_path: Path) -> None:
    await put_new(store)
    damaged = dataclasses.replace(await store.exported("lab"), record="{", status="[]")
    await store.load(damaged)
    async with SqliteStore(tmp_path / "other") as other:
        await copy(store, other)
        assert await other.exported("lab") == damaged


async def test_loading_replaces_all_that_was_there_of_that_name_and_nothing_else(store: AnyStore) -> None:
    await lived_in(store)
    await put_new(store, "other")
    one = dataclasses.replace(await store.exported("other"), name="lab")
    await store.load(one)
    assert await store.exported("lab") == one
    assert (len(await store.history("lab")), await store.events("lab"), await store.status("lab")) == (1, [], None)
    assert await store.get("other") == sample_record("other").model_copy(update={"generation": 1})
