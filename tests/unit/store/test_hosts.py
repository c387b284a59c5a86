"""Hosts that share a store: their records, their leases, and what they may do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ClusterNotFound, Conflict, HostFenced, HostNotFound, OperationFailed, StoreUnreachable
from reconciler.model.host import HostReport
from reconciler.model.origin import Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.etcd import etcd_membership
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd import visitors as visitors_module
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import Call, EtcdClient
from reconciler.store.etcd.etcd_requests import delete, put
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from reconciler.store.sqlite import SqliteStore
from tests.etcd import RunningEtcd, running_etcd
from tests.unit.store.samples import sample_record, sample_status, with_boots
from tests.unit.store.test_store import put_new
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.processes

HOST_KEYS = (keys.ALIVE, keys.CLAIMS)


def report(name: str) -> HostReport:
    return HostReport(
        name=name, version="1", vcpus=2, memory_mb=4096, disk_bytes=2**40, disk_free_bytes=2**39, kvm_usable=False
    )


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As short as etcd's shortest election permits."""
    monkeypatch.setattr(etcd_membership, "TTL_S", 2)


@pytest.fixture
async def one(empty_etcd: RunningEtcd, tmp_path: Path, short_leases: None) -> AsyncIterator[EtcdStore]:
    async with of_host(empty_etcd, "one", tmp_path) as store:
        yield store


def placed_on(host: str) -> ClusterRecord:
    """A record with one node on a host, and the others at home."""
    record = sample_record()
    node = record.spec.nodes["zeta"].model_copy(update={"host": host})
    spec = record.spec.model_copy(update={"nodes": {**record.spec.nodes, "zeta": node}})
    return record.model_copy(update={"spec": spec})


def of_host(etcd: RunningEtcd, name: str, directory: Path) -> EtcdStore:
    return EtcdStore(etcd.address, EtcdCredentials(), host=HostIdentity(name, directory / name))


async def test_a_store_in_a_directory_has_one_host_which_may_always_act(sqlite_store: SqliteStore) -> None:
    assert await sqlite_store.hosts() == {}
    assert await sqlite_store.home_host() == ""
    membership = sqlite_store.membership()
    membership.require(await membership.enter())
    for refused in (
        sqlite_store.put_host(report("one")),
        sqlite_store.cordon_host("one", cordoned=True),
        sqlite_store.remove_host("one"),
        sqlite_store.network_number("lab"),
        sqlite_store.visit("lab", []),
    ):
        with pytest.raises(HostNotFound, match="set `store`"):
            await refused


async def test_every_client_sees_what_hosts_report_and_what_users_decided(
    one: EtcdStore, etcd_store: EtcdStore
) -> None:
    await one.membership().enter()
    await one.put_host(report("one"))
    await etcd_store.put_host(report("two"))
    await etcd_store.cordon_host("two", cordoned=True)
    hosts = await etcd_store.hosts()
    assert [(of.name, of.alive, of.cordoned) for of in hosts.values()] == [("one", True, False), ("two", False, True)]
    assert hosts["two"].lost_since is not None
    assert await one.hosts() == hosts, "the moment of a loss is noted once"
    await one.put_host(report("two").model_copy(update={"vcpus": 64}))
    assert ((await one.hosts())["two"].vcpus, (await one.hosts())["two"].cordoned) == (64, True)
    await one.cordon_host("two", cordoned=False)
    assert not (await etcd_store.hosts())["two"].cordoned
    with pytest.raises(HostNotFound, match=r"no host 'three' .*one, two"):
        await one.cordon_host("three", cordoned=True)


async def test_a_host_that_is_gone_is_forgotten_and_one_that_is_alive_is_not(one: EtcdStore) -> None:
    await one.membership().enter()
    await one.put_host(report("one"))
    await one.put_host(report("two"))
    with pytest.raises(Conflict, match="host one is alive"):
        await one.remove_host("one")
    await one.remove_host("two")
    assert list(await one.hosts()) == ["one"]
    with pytest.raises(HostNotFound):
        await one.remove_host("two")


async def test_what_a_forgotten_host_said_of_clusters_is_forgotten_too(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path
) -> None:
    await one.membership().enter()
    await one.put(placed_on("two"), expected_generation=0, actor="test")
    async with of_host(empty_etcd, "two", tmp_path) as two:
        await two.membership().enter()
        await two.put_host(report("two"))
        await two.put_status(sample_status().model_copy(update={"host": "two"}))
    await eventually(lost(one, "two"))
    await one.remove_host("two")
    entry = await one.standing("lab")
    assert entry is not None
    assert entry.hosts is not None
    assert list(entry.hosts.words) == []


async def test_the_first_host_is_the_home_of_nodes_without_a_host(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path
) -> None:
    assert await one.home_host() == ""
    async with of_host(empty_etcd, "two", tmp_path) as two:
        await two.membership().enter()
        await one.membership().enter()
        assert (await one.home_host(), await two.home_host()) == ("two", "two")
        await two.put_host(report("two"))
    await eventually(lost(one, "two"))
    await one.remove_host("two")
    await one.membership().enter()
    assert await one.home_host() == "", "no other host takes over its nodes by itself"


async def test_a_host_that_died_between_its_lease_and_the_next_step_is_the_home_all_the_same(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path
) -> None:
    await one.membership().enter()
    other = EtcdClient(empty_etcd.address, EtcdCredentials())
    await other.change((), [delete(keys.HOME)])
    async with of_host(empty_etcd, "one", tmp_path) as second:
        await second.membership().enter()  # shares the lease
        assert await second.home_host() == "one"
    await other.close()


async def test_a_host_is_forgotten_together_with_being_the_home(
    one: EtcdStore, etcd_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await etcd_store.put_host(report("two"))
    await etcd_store.take_home("two")
    change, changes = EtcdClient.change, 0

    async def die_after_one(client: EtcdClient, compare: Any, operations: Any, otherwise: Any = ()) -> Any:
        nonlocal changes
        changes += any(of.HasField("request_delete_range") or of.HasField("request_put") for of in operations)
        if changes > 1:
            raise StoreUnreachable("killed here")
        return await change(client, compare, operations, otherwise)

    with monkeypatch.context() as killed, suppress(StoreUnreachable):
        killed.setattr(EtcdClient, "change", die_after_one)
        await etcd_store.remove_host("two")
    assert ("two" in await etcd_store.hosts()) is (await etcd_store.home_host() == "two")


async def test_a_word_of_a_newer_version_is_read_without_what_only_that_knows(one: EtcdStore) -> None:
    class Newer(RecordStatus):
        model_config = RecordStatus.model_config
        colour: str = "green"

    await one.put(sample_record(), expected_generation=0, actor="test")
    said = sample_status().model_copy(update={"host": "one"})
    await one.put_status(Newer(**dict(said)))
    entry = await one.standing("lab")
    assert entry is not None
    assert entry.hosts is not None
    assert entry.hosts.words == {"one": said}


async def test_another_machine_of_the_same_name_is_refused_until_the_first_is_forgotten(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path
) -> None:
    term = await one.membership().enter()
    await one.put_host(report("one"))
    async with of_host(empty_etcd, "one", tmp_path / "elsewhere") as other:
        with pytest.raises(Conflict, match=r"host one of this store is another machine") as error:
            await other.membership().enter()
        assert "host_name" in (error.value.hint or "")
        one.membership().require(term)
        await one.close()
        await eventually(lost(other, "one"))
        with pytest.raises(Conflict):
            await other.membership().enter()
        await other.remove_host("one")
        assert await other.membership().enter() > term


async def test_looking_again_at_a_part_that_did_not_change_takes_one_request(
    one: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await put_new(one)
    for number in (1, 2):
        record = await one.put(with_boots(record, number), expected_generation=number, actor="test")
    await one.put_host(report("one").model_copy(update={"address": IPv4Address("10.0.0.1")}))
    marks = [of for of in [await one.origin("lab", 1), await one.origin("lab", 2)] if of]
    asked = 0
    ask = EtcdClient._ask

    async def counted(self: EtcdClient, call: Call) -> object:
        nonlocal asked
        asked += 1
        return await ask(self, call)

    async def look(at: Sequence[Origin]) -> int:
        before = asked
        await one.standing("lab")
        assert (await one.lineage("lab", at)).known == set(at)
        assert await one.host_addresses(["one"]) == {"one": IPv4Address("10.0.0.1")}
        return asked - before

    monkeypatch.setattr(EtcdClient, "_ask", counted)
    assert [await look(marks[:1]) for _ in range(3)] == [3, 1, 1]
    assert [await look(marks) for _ in range(2)] == [2, 1], "what was not there before is asked for"
    stranger = marks[0].model_copy(update={"token": "of a store that was restored"})
    await one.standing("lab")
    assert (await one.lineage("lab", [stranger])).known == set()
    await one.put(with_boots(record, 3), expected_generation=3, actor="test")
    assert [await look(marks) for _ in range(2)] == [2, 1], "what was read before a change is read again"


async def test_a_look_reads_of_many_hosts_those_of_its_cluster_and_misses_none(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.membership().enter()
    other = EtcdClient(empty_etcd.address, EtcdCredentials())
    await other.change((), [put(of + b"other%d" % number, b"") for number in range(40) for of in HOST_KEYS])
    record = await one.put(placed_on("two"), expected_generation=0, actor="test")
    read, found = EtcdClient.read, 0

    async def counted(self: EtcdClient, *ranges: Any) -> list[Any]:
        nonlocal found
        answers = await read(self, *ranges)
        found += sum(len(answer.kvs) for answer in answers)
        return answers

    async def look() -> tuple[int, set[str]]:
        nonlocal found
        found = 0
        entry = await one.standing("lab")
        assert entry is not None
        assert entry.hosts is not None
        return found, set(entry.hosts.lost)

    monkeypatch.setattr(EtcdClient, "read", counted)
    async with of_host(empty_etcd, "two", tmp_path) as two:
        await two.membership().enter()
        await two.put_host(report("two"))
        await two.put_status(sample_status().model_copy(update={"host": "two"}))
        many, missed = await look()
        assert (many > 80, missed) == (True, set())
        few, missed = await look()
        assert (few < 10, missed) == (True, set())
        placed = await one.put(placed_on("three"), expected_generation=record.generation, actor="test")
        assert (await look())[1] == {"three"}, "a host that was not asked for before"
        await one.put(placed_on("two"), expected_generation=placed.generation, actor="test")
        assert [(await look())[1] for _ in range(2)] == [set(), set()]
    await eventually(lost(one, "two"))
    assert (await look())[1] == {"two"}
    async with of_host(empty_etcd, "two", tmp_path) as two:
        await two.membership().enter()
        assert [(await look())[1] for _ in range(2)] == [set(), set()]
    await other.close()


async def test_the_processes_of_a_host_share_its_lease(one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path) -> None:
    term = await one.membership().enter()
    async with of_host(empty_etcd, "one", tmp_path) as second:
        assert await second.membership().enter() == term
        await one.put_host(report("one").model_copy(update={"address": IPv4Address("10.0.0.1")}))
    assert (await one.hosts())["one"].alive, "the end of one process does not end the lease of the other"
    assert await one.host_addresses(["one", "two"]) == {"one": IPv4Address("10.0.0.1")}
    one.membership().require(term)


async def test_a_host_that_was_paused_for_longer_than_its_lease_acts_only_in_a_new_term(
    one: EtcdStore, etcd_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership = one.membership()
    term = await membership.enter()
    await one.put_host(report("one"))
    membership.require(term)
    await membership.close()  # nobody keeps it alive, as while the process is stopped
    await eventually(lost(etcd_store, "one"))
    with pytest.raises(HostFenced, match="lease of host one may have run out"):
        membership.require(term)
    later = await membership.enter()
    assert later > term
    membership.require(later)
    with pytest.raises(HostFenced):
        membership.require(term)
    assert (await etcd_store.hosts())["one"].alive


async def test_without_etcd_a_host_stops_to_act_before_others_see_it_lost(
    tmp_path: Path, short_leases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_etcd(tmp_path / "data") as etcd:
        async with of_host(etcd, "one", tmp_path) as store:
            term = await store.membership().enter()
            monkeypatch.setattr("reconciler.store.etcd.etcd_client.PATIENCE_S", 0.3)
            etcd.stop()

            async def fenced() -> bool:
                try:
                    store.membership().require(term)
                except HostFenced:
                    return True
                return False

            await eventually(fenced)
            with pytest.raises(StoreUnreachable):
                await store.membership().enter()
            etcd.start()
            later = await asyncio.wait_for(store.membership().enter(), PATIENCE_S)
            store.membership().require(later)


async def test_networks_are_numbered_once_and_differently_even_at_the_same_time(etcd_store: EtcdStore) -> None:
    names = [f"lab{number}" for number in range(5)]
    numbers = await asyncio.gather(*(etcd_store.network_number(name) for name in names))
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert [await etcd_store.network_number(name) for name in names] == numbers


async def test_each_visitor_of_a_network_has_an_address_until_its_lease_ends_or_the_cluster_is_gone(
    one: EtcdStore, empty_etcd: RunningEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [IPv4Address("10.0.0.9"), IPv4Address("10.0.0.8")]
    await one.membership().enter()
    with pytest.raises(ClusterNotFound):
        await one.visit("lab", free)
    await one.put(sample_record(), expected_generation=0, actor="test")
    demand = (await one.demands())["lab"]
    async with of_host(empty_etcd, "two", tmp_path) as two, of_host(empty_etcd, "three", tmp_path) as three:
        await asyncio.gather(*(of.visit("lab", free) for of in (one, two, two)))
        visitors = await one.visitors("lab")
        assert (set(visitors), set(visitors.values())) == ({"one", "two"}, set(free))
        with pytest.raises(OperationFailed, match="no address left"):
            await three.visit("lab", free)
        assert (await two.demands())["lab"].visitors == {"one", "two"} != demand.visitors
        assert "lab" not in await three.demands()
        again = IPv4Address("10.0.0.7")
        await two.visit("lab", [again])
        assert (await one.visitors("lab"))["two"] == again, "its address has become a node's"
        monkeypatch.setattr(visitors_module, "VISIT_S", 1)
        await three.visit("lab", [IPv4Address("10.0.0.6")])

        async def three_is_out() -> bool:
            return "three" not in await one.visitors("lab")

        await eventually(three_is_out)
        await one.remove("lab", expected_generation=1, actor="test")
        assert await one.visitors("lab") == {}


async def test_a_host_of_a_newer_version_is_read_without_what_only_that_knows(etcd_store: EtcdStore) -> None:
    class Newer(HostReport):
        model_config = HostReport.model_config
        colour: str = "green"

    await etcd_store.put_host(Newer(**dict(report("one"))))
    assert (await etcd_store.hosts())["one"].vcpus == 2


def lost(store: EtcdStore, name: str) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return not (await store.hosts())[name].alive

    return found
