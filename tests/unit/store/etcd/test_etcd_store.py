"""What only the store in etcd does."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import OperationFailed, RecordUnreadable, StoreUnavailable, StoreUnreachable
from reconciler.model.record import ClusterRecord
from reconciler.records.recovery import documents
from reconciler.store.etcd import etcd_client, etcd_history, key_names
from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials
from reconciler.store.etcd.etcd_change_feed import EtcdChangeWaiter
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import below, put
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from reconciler.store.sqlite import SqliteStore
from tests.etcd import RunningEtcd, free_ports, running_etcd
from tests.unit.store.samples import sample_record, sample_status, with_boots, with_user_data
from tests.unit.store.test_store import put_new
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.processes


@pytest.fixture
async def own_etcd(tmp_path: Path) -> AsyncIterator[RunningEtcd]:
    """A server that a test may stop."""
    with running_etcd(tmp_path / "data") as running:
        yield running


async def test_a_server_that_is_away_is_said_in_time_and_when_it_is_back_all_goes_on(
    own_etcd: RunningEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PATIENCE_S", 0.5)
    async with EtcdStore(own_etcd.address, EtcdCredentials()) as store:
        record = await put_new(store)
        watch = await store.watch()
        own_etcd.stop()
        with pytest.raises(StoreUnreachable, match="no member of etcd:") as away:
            await store.get("lab")
        assert (away.value.terminal, away.value.recoverable) == (False, True)
        with pytest.raises(StoreUnreachable):
            await watch.wait(timeout_s=PATIENCE_S)
        own_etcd.start()
        monkeypatch.undo()
        assert await store.get("lab") == record
        await store.put(with_boots(record, 1), expected_generation=1, actor="test")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert await watch.wait(timeout_s=PATIENCE_S)
                    break
                except StoreUnreachable:  # the stream has not come back yet
                    await asyncio.sleep(0.05)


async def test_a_watch_at_a_member_that_was_cut_off_from_the_others_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PATIENCE_S", 0.5)
    fast = ("--election-timeout", "300", "--heartbeat-interval", "30")
    one, two, three, four = free_ports(4)
    members = [
        RunningEtcd(tmp_path / "a", one, two, fast, name="a"),
        RunningEtcd(tmp_path / "b", three, four, fast, name="b"),
    ]
    for member in members:
        member.peers = tuple(of.peer for of in members)
        member.launch()
    try:
        members[0].wait_until_healthy()
        async with EtcdStore(members[0].address, EtcdCredentials()) as store:
            await put_new(store)
            watch = await store.watch()
            members[1].stop()  # the first one answers nothing any longer, but keeps its connections
            with pytest.raises(StoreUnreachable):
                await _next_silence(watch)
    finally:
        for member in members:
            member.stop()


async def _next_silence(watch: EtcdChangeWaiter) -> None:
    """Wait as long as there are changes."""
    while await watch.wait(timeout_s=PATIENCE_S):
        pass


async def test_a_member_that_does_not_answer_is_passed_over(etcd: RunningEtcd, empty_etcd: RunningEtcd) -> None:
    (nobody,) = free_ports(1)
    address = EtcdAddress.parse(f"etcd://127.0.0.1:{nobody},127.0.0.1:{etcd.port}")
    async with EtcdStore(address, EtcdCredentials()) as store:
        await put_new(store)
        assert await store.names() == ["lab"]


async def test_a_member_that_hangs_is_passed_over(
    etcd: RunningEtcd, own_etcd: RunningEtcd, empty_etcd: RunningEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "ANSWER_S", 0.3)
    monkeypatch.setattr(etcd_client, "PATIENCE_S", PATIENCE_S)
    assert own_etcd.process is not None
    own_etcd.process.send_signal(signal.SIGSTOP)
    address = EtcdAddress.parse(f"etcd://127.0.0.1:{own_etcd.port},127.0.0.1:{etcd.port}")
    async with EtcdStore(address, EtcdCredentials()) as store:
        await put_new(store)
        assert await store.names() == ["lab"]


async def test_a_change_whose_answer_is_lost_is_made_once(
    etcd_store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await put_new(etcd_store)
    change, lost = EtcdClient.change, [True, True]

    async def losing(self: EtcdClient, compare: Sequence[Any], operations: Sequence[Any]) -> Any:
        """As where a member is lost between a change and its answer: the client asks the next one the same again."""
        answer = await change(self, compare, operations)
        if compare and lost and lost.pop():
            return await change(self, compare, operations)
        return answer

    monkeypatch.setattr(EtcdClient, "change", losing)
    again = await etcd_store.put(with_boots(record, 1), expected_generation=1, actor="test")
    assert (again.generation, again.nodes["alpha"].boot_epoch, lost) == (2, 1, [True])
    assert len(await etcd_store.history("lab")) == 2
    await etcd_store.remove("lab", expected_generation=2, actor="test")
    assert (await etcd_store.get("lab"), len(await etcd_store.history("lab")), lost) == (None, 3, [])


async def test_a_cluster_of_a_thousand_nodes_fits_into_one_value(etcd_store: EtcdStore) -> None:
    large = of_nodes(1000)
    written = await etcd_store.put(large, expected_generation=0, actor="test")
    assert await etcd_store.get("lab") == written
    changed = await etcd_store.put(with_boots(written, 1, "n7"), expected_generation=1, actor="test")
    assert changed.nodes["n7"].boot_epoch == 1
    assert len(await etcd_store.history("lab")) == 2


async def test_what_etcd_does_not_take_is_refused_with_the_remedy(etcd_store: EtcdStore) -> None:
    noise = os.urandom(2 * 1024 * 1024).hex()
    with pytest.raises(OperationFailed, match="does not take a value of this size") as refused:
        await etcd_store.put(with_user_data(sample_record(), {"noise": noise}), expected_generation=0, actor="test")
    assert "fewer nodes" in (refused.value.hint or "")
    assert await etcd_store.names() == []


@pytest.mark.parametrize("value", [b"", b"{", b"zz", b"\xff", b"[]", b"{}"])
async def test_a_damaged_value_harms_its_own_cluster_only(
    etcd_store: EtcdStore, empty_etcd: RunningEtcd, value: bytes
) -> None:
    await put_new(etcd_store)
    await put_new(etcd_store, "other")
    await write(empty_etcd, key_names.record("lab"), value)
    for read in (etcd_store.get, etcd_store.standing):
        with pytest.raises(RecordUnreadable, match="record of cluster lab"):
            await read("lab")
    assert await etcd_store.get("other") is not None
    assert set(await etcd_store.demands()) == {"lab", "other"}
    assert await etcd_store.discard_damaged("lab", actor="test") == "record"
    assert await etcd_store.names() == ["other"]
    await etcd_store.put_status(sample_status("other"))
    await write(empty_etcd, key_names.status("other"), value)
    assert await etcd_store.discard_damaged("other", actor="test") == "status"
    assert (await etcd_store.status("other"), await etcd_store.names()) == (None, ["other"])


async def test_compaction_between_two_looks_loses_no_change(etcd_store: EtcdStore, empty_etcd: RunningEtcd) -> None:
    record = await put_new(etcd_store)
    watch = await etcd_store.watch()
    other = EtcdClient(empty_etcd.address, EtcdCredentials())
    for boots in range(1, 4):
        record = await etcd_store.put(with_boots(record, boots), expected_generation=boots, actor="test")
        await other.compact(await other.revision())
    await other.close()
    assert await watch.wait(timeout_s=PATIENCE_S)
    assert await etcd_store.get("lab") == record


def of_nodes(count: int) -> ClusterRecord:
    record = sample_record()
    node, intent = record.spec.nodes["alpha"], record.nodes["alpha"]
    names = [f"n{number}" for number in range(count)]
    spec = record.spec.model_copy(update={"nodes": dict.fromkeys(names, node)})
    return record.model_copy(update={"spec": spec, "nodes": dict.fromkeys(names, intent)})


async def write(etcd: RunningEtcd, key: bytes, value: bytes) -> None:
    other = EtcdClient(etcd.address, EtcdCredentials())
    await other.change((), [put(key, value)])
    await other.close()


async def test_old_versions_are_forgotten_by_one_host_a_period_later(
    etcd_store: EtcdStore, empty_etcd: RunningEtcd
) -> None:
    record = await put_new(etcd_store)
    async with EtcdStore(empty_etcd.address, EtcdCredentials()) as second:
        for store in (etcd_store, second, etcd_store, second):  # both look, one notes, the other sees that
            await store.tidy()
        noted = await newest_revision(empty_etcd)
        for boots in range(1, 4):
            record = await etcd_store.put(with_boots(record, boots), expected_generation=boots, actor="test")
        assert await is_kept(empty_etcd, noted - 2)
        await second.tidy()
        assert not await is_kept(empty_etcd, noted - 2)
        assert await is_kept(empty_etcd, noted)
        await etcd_store.tidy()
        assert await is_kept(empty_etcd, noted), "the other has had this period's turn"
        assert await second.get("lab") == record
        assert len(await second.history("lab")) == 4


async def newest_revision(etcd: RunningEtcd) -> int:
    client = EtcdClient(etcd.address, EtcdCredentials())
    try:
        return await client.revision()
    finally:
        await client.close()


async def is_kept(etcd: RunningEtcd, revision: int) -> bool:
    """Whether etcd still knows how keys were at a revision."""
    client = EtcdClient(etcd.address, EtcdCredentials())
    try:
        await client.read(below(key_names.ROOT, revision=revision))
    except StoreUnavailable as error:
        return "compacted" not in error.message
    finally:
        await client.close()
    return True


async def test_of_a_long_history_the_last_changes_and_all_tokens_are_kept(
    etcd_store: EtcdStore, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_history, "KEPT_CHANGES", 10)
    monkeypatch.setattr(etcd_history, "_AT_ONCE", 7)
    record = await put_new(etcd_store)
    origins = [await etcd_store.origin("lab", 1)]
    for boots in range(1, 40):
        record = await etcd_store.put(with_boots(record, boots), expected_generation=boots, actor="test")
        origins.append(await etcd_store.origin("lab", record.generation))
    history = await etcd_store.history("lab")
    assert 10 <= len(history) < 17
    (*_, (newest, last)) = documents(history)
    assert (newest, last["nodes"]["alpha"]["boot_epoch"]) == (40, 39)
    known = {of for of in origins if of is not None}
    assert len(known) == 40
    assert (await etcd_store.lineage("lab", known)).known == known
    async with SqliteStore(state_dir) as other:
        await other.take_identity(await etcd_store.identity())
        await other.load(await etcd_store.exported("lab"))
        assert await other.history("lab") == history
        assert {of.token for of in (await other.lineage("lab", known)).known} == {of.token for of in known}
        await etcd_store.load(await other.exported("lab"))
    assert await etcd_store.history("lab") == history
    assert (await etcd_store.lineage("lab", known)).known == known


async def test_where_etcd_is_full_a_change_is_refused_whole_and_leases_go_on(tmp_path: Path) -> None:
    full = [f"--quota-backend-bytes={2 * 1024 * 1024}"]
    with running_etcd(tmp_path / "data", full) as etcd:
        async with EtcdStore(etcd.address, EtcdCredentials(), host=HostIdentity("one", tmp_path)) as store:
            term = await store.membership().enter()
            record = await put_new(store)
            refused: StoreUnavailable | None = None
            while refused is None:
                noisy = with_user_data(record, {"noise": os.urandom(64 * 1024).hex()})
                try:
                    record = await store.put(noisy, expected_generation=record.generation, actor="test")
                except StoreUnavailable as error:
                    refused = error
            assert "database space exceeded" in refused.message
            assert "etcdctl" in (refused.hint or "")
            assert await store.get("lab") == record
            assert [of.generation for of in await store.history("lab")] == list(range(1, record.generation + 1))
            with pytest.raises(StoreUnavailable, match="database space exceeded"):
                await store.request_round("lab")
            assert await store.membership().enter() == term
            other = EtcdClient(etcd.address, EtcdCredentials())
            await other.compact(await other.revision())
            await other.close()
            etcd.defragment()
            etcd.set_full(full=False)
            later = await store.put(with_boots(record, 1), expected_generation=record.generation, actor="test")
            assert await store.get("lab") == later
