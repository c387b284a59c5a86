"""What every kind of store does."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.errors import Conflict, InvalidArgument, StoreUnavailable
from reconciler.model.record import ClusterRecord, NodeIntent
from reconciler.store.patch import patched
from reconciler.store.protocol import ClusterEntry, Demand, Store
from tests.unit.store.client import AnyStore, opened
from tests.unit.store.samples import sample_record, sample_status, with_boots, with_user_data
from tests.waiting import PATIENCE_S


async def put_new(store: Store, name: str = "lab") -> ClusterRecord:
    return await store.put(sample_record(name), expected_generation=0, actor="test")


def replayed(patches: list[tuple[dict[str, Any], ...]]) -> Any:
    document = None
    for patch in patches:
        document = patched(document, patch)
    return document


def without_generation(record: ClusterRecord) -> Any:
    return record.model_dump(mode="json", exclude={"generation"})


async def test_a_stored_record_is_read_back_equal_also_by_another_store_object(store: AnyStore, place: str) -> None:
    written = await put_new(store)
    assert written == sample_record().model_copy(update={"generation": 1})
    async with opened(place) as other:
        assert await other.get("lab") == written


async def test_the_order_of_nodes_is_kept(store: AnyStore) -> None:
    await put_new(store)
    record = await store.get("lab")
    assert record is not None
    assert list(record.spec.nodes) == ["zeta", "alpha"]


async def test_a_cluster_that_was_never_written_has_nothing(store: AnyStore) -> None:
    assert await store.get("lab") is None
    assert await store.status("lab") is None
    assert await store.history("lab") == []
    assert await store.names() == []


async def test_names_are_sorted(store: AnyStore) -> None:
    for name in ("b", "c", "a"):
        await put_new(store, name)
    assert await store.names() == ["a", "b", "c"]


async def test_each_change_grows_the_generation_by_one(store: AnyStore) -> None:
    record = await put_new(store)
    for boots in (1, 2, 3):
        record = await store.put(with_boots(record, boots), expected_generation=record.generation, actor="test")
    assert record.generation == 4


async def test_what_was_agreed_to_belongs_to_one_generation(store: AnyStore) -> None:
    disk, machine = "layer/alpha/vda", "domain/alpha"
    agreed = await store.put(sample_record(), expected_generation=0, actor="test", consent={disk})
    assert (agreed.generation, agreed.consent) == (1, (disk,))
    again = await store.put(sample_record(), expected_generation=1, actor="test")
    assert (again, await store.get("lab")) == (agreed, agreed)
    more = await store.put(agreed, expected_generation=1, actor="test", consent={machine, disk})
    assert (more.generation, more.consent) == (2, (machine, disk))
    changed = await store.put(with_boots(more, 1), expected_generation=2, actor="test")
    assert (changed.generation, changed.consent) == (3, ())
    assert await store.get("lab") == changed


async def test_an_equal_record_is_not_written_again(store: AnyStore) -> None:
    record = await put_new(store)
    again = await store.put(sample_record(), expected_generation=1, actor="test")
    assert again == record
    assert len(await store.history("lab")) == 1


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_a_change_made_from_another_generation_is_a_conflict_and_changes_nothing(
    store: AnyStore, expected: int
) -> None:
    first = await put_new(store)
    second = await store.put(with_boots(first, 1), expected_generation=1, actor="test")
    with pytest.raises(Conflict, match="record of cluster lab is at generation 2"):
        await store.put(with_boots(first, 7), expected_generation=expected, actor="late")
    assert await store.get("lab") == second
    assert len(await store.history("lab")) == 2


async def test_the_same_one_shot_change_made_twice_from_one_record_is_a_conflict(store: AnyStore) -> None:
    """Two clients that each ask for a crash from the same record must not share one."""
    first = await put_new(store)
    await store.put(with_boots(first, 1), expected_generation=1, actor="one")
    with pytest.raises(Conflict):
        await store.put(with_boots(first, 1), expected_generation=1, actor="two")


async def test_a_record_that_is_gone_is_a_conflict_for_its_reader(store: AnyStore) -> None:
    record = await put_new(store)
    await store.remove("lab", expected_generation=1, actor="test")
    with pytest.raises(Conflict, match="no longer exists"):
        await store.put(with_boots(record, 1), expected_generation=1, actor="late")
    with pytest.raises(Conflict):
        await store.remove("lab", expected_generation=1, actor="late")


async def test_removing_takes_the_status_along_and_leaves_the_history(store: AnyStore) -> None:
    await put_new(store)
    await store.put_status(sample_status())
    await store.remove("lab", expected_generation=1, actor="test")
    assert await store.get("lab") is None
    assert await store.status("lab") is None
    assert [entry.generation for entry in await store.history("lab")] == [1, 2]


async def test_a_recreated_record_continues_above_the_old_generations(store: AnyStore) -> None:
    record = await put_new(store)
    await store.put(with_boots(record, 1), expected_generation=1, actor="test")
    await store.remove("lab", expected_generation=2, actor="test")
    assert (await put_new(store)).generation == 4


async def test_the_history_tells_who_when_and_what(store: AnyStore) -> None:
    record = await put_new(store)
    await store.put(with_boots(record, 1), expected_generation=1, actor="mcp:node_crash")
    entry = (await store.history("lab"))[-1]
    assert (entry.cluster_name, entry.generation, entry.actor) == ("lab", 2, "mcp:node_crash")
    assert entry.at.tzinfo == UTC
    assert abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1)
    assert entry.patch == ({"op": "replace", "path": "/nodes/alpha/boot_epoch", "value": 1},)


async def test_the_history_replayed_gives_the_record(store: AnyStore) -> None:
    record = await put_new(store)
    record = await store.put(with_boots(record, 5), expected_generation=1, actor="test")
    record = await store.put(with_user_data(record, {"a": [1, None]}), expected_generation=2, actor="test")
    patches = [entry.patch for entry in await store.history("lab")]
    assert replayed(patches) == without_generation(record)
    assert replayed(patches[:1]) == without_generation(sample_record())


async def test_the_status_is_the_last_one_written(store: AnyStore) -> None:
    await put_new(store)
    for generation in (1, 2):
        status = sample_status(generation=generation)
        await store.put_status(status)
    assert await store.status("lab") == status


async def test_the_status_of_a_cluster_without_a_record_is_ignored(store: AnyStore) -> None:
    await store.put_status(sample_status())
    assert await store.status("lab") is None


async def test_what_put_returns_is_what_get_returns_also_for_odd_yaml_values(store: AnyStore) -> None:
    record = with_user_data(sample_record(), {"since": datetime(2024, 1, 1, tzinfo=UTC), "ü": {1: True}})
    written = await store.put(record, expected_generation=0, actor="test")
    assert await store.get("lab") == written
    assert await store.put(record, expected_generation=1, actor="test") == written


@pytest.mark.parametrize("value", [b"\xff", "\ud800"])
async def test_what_json_cannot_hold_is_refused_before_anything_is_written(store: AnyStore, value: object) -> None:
    with pytest.raises(InvalidArgument, match="record of cluster lab"):
        await store.put(with_user_data(sample_record(), {"value": value}), expected_generation=0, actor="test")
    assert await store.names() == []


async def test_a_record_that_could_not_be_read_back_is_not_written(store: AnyStore) -> None:
    broken = sample_record().model_copy(update={"nodes": {"alpha": NodeIntent().model_copy(update={"boot_epoch": -1})}})
    with pytest.raises(StoreUnavailable, match="record of cluster lab"):
        await store.put(broken, expected_generation=0, actor="test")
    assert await store.names() == []


async def test_two_clients_at_once_both_hold_or_one_gets_a_conflict(place: str) -> None:
    async with opened(place) as one, opened(place) as two:
        for generation in range(1, 21):
            record = await one.get("lab") or sample_record()
            changes = (with_boots(record, generation, "alpha"), with_boots(record, generation, "zeta"))
            outcomes = await asyncio.gather(
                *(
                    client.put(change, expected_generation=record.generation, actor="test")
                    for client, change in zip((one, two), changes, strict=True)
                ),
                return_exceptions=True,
            )
            won = [outcome for outcome in outcomes if isinstance(outcome, ClusterRecord)]
            lost = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
            assert (len(won), len(lost)) == (1, 1)
            assert await two.get("lab") == won[0]


async def test_a_cancelled_put_is_written_whole_or_not_at_all(store: AnyStore) -> None:
    record = await put_new(store)
    for boots in range(1, 30):
        change = asyncio.create_task(
            store.put(with_boots(record, boots), expected_generation=record.generation, actor="test")
        )
        await asyncio.sleep(boots * 0.0002)
        change.cancel()
        await asyncio.wait({change})
        await store.put_status(sample_status())  # in the same thread, so the cancelled change is over
        found = await store.get("lab")
        assert found is not None
        if found.generation != record.generation:
            assert found == with_boots(record, boots).model_copy(update={"generation": record.generation + 1})
        record = found
    assert replayed([entry.patch for entry in await store.history("lab")]) == without_generation(record)


async def test_a_round_begins_with_record_status_and_the_last_request(store: AnyStore) -> None:
    assert await store.standing("lab") is None
    record = await put_new(store)
    assert await store.standing("lab") == ClusterEntry(record, None, 0)
    await store.put_status(said := sample_status())
    await store.request_round("lab")
    assert await store.standing("lab") == ClusterEntry(record, said, 1)
    await store.remove("lab", expected_generation=1, actor="test")
    assert await store.standing("lab") is None


async def test_a_record_that_was_read_before_is_read_again_when_another_process_has_changed_it(
    store: AnyStore, place: str
) -> None:
    record = await put_new(store)
    assert await store.get("lab") == record
    async with opened(place) as other:
        changed = await other.put(with_boots(record, 1), expected_generation=1, actor="other")
        assert await store.get("lab") == changed
        await other.remove("lab", expected_generation=2, actor="other")
        assert await store.get("lab") is None
        again = await put_new(other)
    assert await store.get("lab") == again


async def test_demands_are_followed_from_change_to_change(store: AnyStore, place: str) -> None:
    watch = store.watch_demands()
    assert await watch.next() == {}
    record = await put_new(store)

    async def until(wanted: dict[str, Demand]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await watch.next() != wanted:
                pass

    await until({"lab": Demand(1, 0)})
    async with opened(place) as other:
        await other.put_status(sample_status())
        assert await other.request_round("lab") == 1
        await put_new(other, "second")
    await until({"lab": Demand(1, 1), "second": Demand(1, 0)})
    await store.remove("lab", expected_generation=record.generation, actor="test")
    await until({"second": Demand(1, 0)})
    assert await store.demands() == {"second": Demand(1, 0)}
