"""Values in etcd that somebody else wrote: an error for the cluster that they are about, and none for the others."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from reconciler.errors import ClusterError
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import below, delete, put
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.etcd import RunningEtcd
from tests.unit.store.conftest import empty_etcd, etcd
from tests.unit.store.samples import sample_record, sample_status
from tests.unit.store.test_hosts import report

__all__ = ["empty_etcd", "etcd"]

pytestmark = pytest.mark.processes

STRANGE = [
    *(b"", b"\xff\xfe", b"null", b"[]", b"{}", b"1", b"-1", b"NaN", b"9" * 5000, b'"x"', b"zjunk", b"\0", b" 1"),
    *(b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"2020-01-01T00:00:00", b"[1,{}]", b'["\\ud800"]'),
    b'{"state":"open","attempt":"x","patch":[{"op":"replace","path":"/a/b","value":1}],"token":[],"a":1}',
]
NEW = [
    *(keys.ALIVE + b"h1", keys.LOST + b"h1", keys.CLAIMS + b"h1", keys.CORDONS + b"h1", keys.HOME, keys.TIDIED),
    *(keys.visitors("lab") + b"10.0.0.1", keys.visitors("lab") + b"x", keys.statuses("lab") + b"h1"),
    *(keys.meeting("lab", "m"), keys.meeting("lab", "m") + b"/h1", keys.events("lab") + b"0", keys.events("lab")),
    *(keys.tokens_up_to("lab", 5), keys.history("lab", 7), keys.histories("lab") + b"xyz", keys.HEADS + b"\xff"),
    *(keys.HEADS + b"UPPER", keys.HOSTS + b"\xff", keys.STATUSES + b"\xff/h", keys.EVENT_MARK, keys.NETWORKS),
]


@pytest.fixture
async def client(empty_etcd: RunningEtcd) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(empty_etcd.address, EtcdCredentials())
    yield client
    await client.close()


def reads(store: EtcdStore) -> list[Callable[[], Awaitable[object]]]:
    of_lab = (store.get, store.standing, store.history, store.events, store.exported, store.visitors)
    meeting = store.meeting("lab", "m", frozenset({"h1", "h2"}))
    return [
        *(lambda read=read: read("lab") for read in of_lab),
        *(store.names, store.known, store.hosts, store.home_host, store.identity, store.newest_event, store.tidy),
        *(lambda number=number: store.origin("lab", number) for number in (1, 5, 7)),
        lambda: store.host_addresses(["h1"]),
        lambda: store.network_number("lab"),
        lambda: store.request_round("lab"),
        lambda: meeting.call_off("test"),
    ]


async def test_strange_values_are_errors_of_their_own_and_keep_nobody_from_the_others(
    empty_etcd: RunningEtcd, client: EtcdClient
) -> None:
    async with EtcdStore(empty_etcd.address, EtcdCredentials()) as store:
        for name in ("lab", "other"):
            await store.put(sample_record(name), expected_generation=0, actor="test")
        await store.put_status(sample_status("lab"))
        await store.put_host(report("h1"))
        await store.request_round("lab")
        await store.network_number("lab")
    (found,) = await client.read(below(keys.ROOT))
    before = {kv.key: kv.value for kv in found.kvs}
    about_other = {key for key in before if b"/other" in key}
    for key in {*before, *NEW} - about_other:
        for value in STRANGE:
            await client.change((), [put(key, value)])
            async with EtcdStore(empty_etcd.address, EtcdCredentials()) as store:
                await require_sound(store, (key, value))
        await client.change((), [put(key, before[key]) if key in before else delete(key)])


async def require_sound(store: EtcdStore, written: tuple[bytes, bytes]) -> None:
    for read in reads(store):
        try:
            await read()
        except ClusterError:
            continue
        except Exception as error:
            raise AssertionError(written[0], written[1][:80]) from error
    assert "other" in await store.demands(), written
    other = await store.get("other")
    assert other is not None, written
