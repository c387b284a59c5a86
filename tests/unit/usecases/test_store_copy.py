from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, ConfigurationInvalid, Conflict, InvalidArgument
from reconciler.settings import Settings
from reconciler.store.copies import StoredCluster
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.lease import FILE_NAME, Lease
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases import store_copy
from reconciler.usecases.store_copy import copy_store
from tests.etcd import RunningEtcd, running_etcd
from tests.unit.store.samples import with_boots
from tests.unit.store.test_store import put_new

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as running:
        yield running


async def test_records_go_to_etcd_and_come_back(etcd: RunningEtcd, tmp_path: Path) -> None:
    source, back, told = tmp_path / "state", tmp_path / "back", list[str]()
    async with SqliteStore(source) as store:
        await put_new(store)
        await put_new(store, "gone")
        await store.remove("gone", expected_generation=1, actor="test")
        exported = [await store.exported(name) for name in ("gone", "lab")]
    there = await copy_store(Settings(host_name="here"), str(source), str(etcd.address), told.append)
    assert (there.clusters, there.removed_clusters) == (["lab"], ["gone"])
    async with EtcdStore(etcd.address, EtcdCredentials()) as shared:
        assert await shared.home_host() == "here", "nodes without a host stay where the copy was made"
    assert told == ["copying cluster gone (1 of 2)", "copying cluster lab (2 of 2)"]
    with pytest.raises(
        Conflict, match=r"of this host, other, alone, and nodes are on others: lab/\w+ on here"
    ) as refused:
        await copy_store(Settings(host_name="other"), str(etcd.address), str(back), told.append)
    assert "`host: other`" in (refused.value.hint or "")
    assert not (back / "records.sqlite").exists()
    again = await copy_store(Settings(host_name="here"), str(etcd.address), str(back), told.append)
    assert again.identity == there.identity
    async with SqliteStore(back) as store:
        assert [await store.exported(name) for name in await store.known()] == exported


@pytest.mark.parametrize(
    ("source", "target", "error", "said"),
    [
        ("{tmp}/a", "{tmp}/b/../a", InvalidArgument, "the same store"),
        ("{tmp}/absent", "{tmp}/b", InvalidArgument, "no records in"),
        ("{tmp}/empty", "{tmp}/b", InvalidArgument, "no records in"),
        ("etcd://a:b", "{tmp}/b", InvalidArgument, "is not a host with a port"),
        ("etcd://127.0.0.1,", "{tmp}/b", InvalidArgument, "is not a host with a port"),
        ("{tmp}/a", "etcd://10.0.0.1", ConfigurationInvalid, "with TLS only"),
    ],
)
async def test_what_cannot_be_copied_is_refused_before_anything_is_made(
    source: str, target: str, error: type[ClusterError], said: str, tmp_path: Path
) -> None:
    async with SqliteStore(tmp_path / "a") as store:
        await put_new(store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=said):
        await copy_store(Settings(), source.format(tmp=tmp_path), target.format(tmp=tmp_path), lambda _: None)
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "b" / "records.sqlite").exists()


async def test_a_controller_at_work_keeps_its_store_from_being_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_copy, "_LEASE_S", 0.05)
    async with SqliteStore(tmp_path / "a") as store:
        await put_new(store)
    async with Lease(tmp_path / "a" / FILE_NAME, purpose="a test"):
        with pytest.raises(ClusterError, match="a test"):
            await copy_store(Settings(), str(tmp_path / "a"), str(tmp_path / "b"), lambda _: None)


async def test_a_change_while_it_is_copied_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = SqliteStore.load
    async with SqliteStore(tmp_path / "a") as store:
        record = await put_new(store)

        async def changed_meanwhile(self: SqliteStore, cluster: StoredCluster) -> None:
            await load(self, cluster)
            await store.put(with_boots(record, 1), expected_generation=1, actor="another client")

        monkeypatch.setattr(SqliteStore, "load", changed_meanwhile)
        with pytest.raises(Conflict, match="cluster lab was changed while it was copied"):
            await copy_store(Settings(), str(tmp_path / "a"), str(tmp_path / "b"), lambda _: None)
