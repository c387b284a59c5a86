"""What cannot be read in a store is told of by its name, and harms nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import SCHEME, EtcdAddress, EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import below, put
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.etcd import RunningEtcd
from tests.unit.store.client import AnyStore
from tests.unit.store.samples import sample_record, with_boots
from tests.unit.store.test_database import altered
from tests.unit.store.test_events import events
from tests.unit.store.test_hosts import report
from tests.unit.store.test_store import put_new

Write = Callable[[bytes, bytes], Awaitable[None]]

DAMAGED = [b"", b"{", b"zz", b"\xff", b"[]", b"{}"]


@pytest.fixture
def write(empty_etcd: RunningEtcd) -> Write:
    """Write a value as somebody else would."""

    async def written(key: bytes, value: bytes) -> None:
        async with _client(str(empty_etcd.address)) as client:
            await client.change((), [put(key, value)])

    return written


@dataclass(frozen=True, slots=True)
class Damage:
    """Damages what a store of either kind has."""

    place: str

    async def event(self, cluster: str, index: int, value: bytes) -> None:
        """An event of a cluster, by its place among them."""
        if not self.place.startswith(SCHEME):
            of_cluster = "SELECT number FROM event WHERE cluster_name = ? ORDER BY number LIMIT 1 OFFSET ?"
            statement = f"UPDATE event SET document = ? WHERE number = ({of_cluster})"
            altered(Path(self.place) / "records.sqlite", statement, value, cluster, index)
            return
        async with _client(self.place) as client:
            (found,) = await client.read(below(keys.events(cluster)))
            await client.change((), [put(found.kvs[index].key, value)])

    async def change(self, cluster: str, generation: int, value: bytes) -> None:
        """What made a generation of a record."""
        if self.place.startswith(SCHEME):
            async with _client(self.place) as client:
                await client.change((), [put(keys.history(cluster, generation), value)])
        else:
            statement = "UPDATE history SET patch = ? WHERE cluster_name = ? AND generation = ?"
            altered(Path(self.place) / "records.sqlite", statement, value, cluster, generation)


@pytest.fixture
def damage(place: str) -> Damage:
    return Damage(place)


@asynccontextmanager
async def _client(place: str) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(EtcdAddress.parse(place), EtcdCredentials())
    yield client
    await client.close()


@pytest.mark.processes
@pytest.mark.parametrize("value", DAMAGED)
async def test_a_host_whose_record_is_damaged_is_listed_as_that_beside_the_others(
    etcd_store: EtcdStore, write: Write, value: bytes
) -> None:
    for name in ("one", "two"):
        await etcd_store.put_host(report(name))
    await write(keys.HOSTS + b"one", value)
    hosts = await etcd_store.hosts()
    assert list(hosts) == ["one", "two"]
    assert hosts["one"].unreadable.startswith("the record of host one cannot be read: ")
    assert "vmcluster watch" in hosts["one"].unreadable
    assert (hosts["two"].unreadable, hosts["two"].vcpus) == ("", 2)
    assert await etcd_store.host_addresses(["one", "two"]) == {}
    await etcd_store.put_host(report("one"))
    assert not (await etcd_store.hosts())["one"].unreadable
    await write(keys.HOSTS + b"one", value)
    await etcd_store.remove_host("one")
    assert list(await etcd_store.hosts()) == ["two"]


@pytest.mark.processes
@pytest.mark.parametrize("value", DAMAGED)
async def test_where_the_number_of_the_last_generation_is_damaged_the_history_knows_it(
    etcd_store: EtcdStore, write: Write, value: bytes
) -> None:
    first = await put_new(etcd_store)
    await write(keys.newest("lab"), value)
    second = await etcd_store.put(with_boots(first, 1), expected_generation=1, actor="test")
    assert second.generation == 2
    await write(keys.newest("lab"), value)
    await write(keys.record("lab"), value)
    assert await etcd_store.discard_damaged("lab", actor="test") == "record"
    again = await etcd_store.put(sample_record(), expected_generation=0, actor="test")
    assert again.generation == 4
    assert [entry.generation for entry in await etcd_store.history("lab")] == [1, 2, 3, 4]


@pytest.mark.parametrize("value", DAMAGED)
async def test_an_event_that_cannot_be_read_says_so_in_its_place(store: AnyStore, damage: Damage, value: bytes) -> None:
    await store.add_events([*events("lab", 1, 2, 3), *events("other", 4)])
    before = await store.events(None)
    await damage.event("lab", 1, value)
    for cluster, count in (("lab", 3), (None, 4)):
        found = await store.events(cluster)
        assert [event.number for event in found] == [event.number for event in before[:count]]
        assert [event.kind.value for event in found][:3] == ["ActionDone", "EventUnreadable", "ActionDone"]
        assert found[1].cluster_name == "lab"
        assert found[1].message.startswith(f"the event {before[1].number} of cluster lab cannot be read: ")
        assert found[1].at == before[0].at
    assert [event.message for event in await store.events("other")] == ["other 4"]


@pytest.mark.parametrize("value", [value for value in DAMAGED if value != b"[]"])
async def test_a_change_that_cannot_be_read_says_so_between_the_others(
    store: AnyStore, damage: Damage, value: bytes
) -> None:
    record = await put_new(store)
    for boots in (1, 2):
        record = await store.put(with_boots(record, boots), expected_generation=record.generation, actor="test")
    before = await store.history("lab")
    await damage.change("lab", 2, value)
    first, second, third = await store.history("lab")
    assert (first, third) == (before[0], before[2])
    assert (second.generation, second.actor, second.at, second.patch) == (2, "", first.at, ())
    assert "history of cluster lab cannot be read: " in second.unreadable
    assert (await store.put(with_boots(record, 3), expected_generation=3, actor="test")).generation == 4
