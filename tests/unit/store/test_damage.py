"""What cannot be read in a store is told of by its name, and harms nothing else."""

from collections.abc import Awaitable, Callable

import pytest

from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import put
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.etcd import RunningEtcd
from tests.unit.store.test_hosts import report

Write = Callable[[bytes, bytes], Awaitable[None]]

DAMAGED = [b"", b"{", b"zz", b"\xff", b"[]", b"{}"]


@pytest.fixture
def write(empty_etcd: RunningEtcd) -> Write:
    """Write a value as somebody else would."""

    async def written(key: bytes, value: bytes) -> None:
        client = EtcdClient(empty_etcd.address, EtcdCredentials())
        await client.change((), [put(key, value)])
        await client.close()

    return written


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
