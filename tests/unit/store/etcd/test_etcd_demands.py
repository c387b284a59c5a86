"""The demands of a host, kept up with by what is changed: at any moment what reading everything would give."""

import asyncio
import json
from functools import partial
from pathlib import Path
from random import Random

import pytest

from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_parts import removals_of
from reconciler.store.etcd.etcd_requests import delete, put
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from reconciler.store.protocol import Demand
from tests.etcd import running_etcd
from tests.unit.store.samples import sample_status
from tests.waiting import eventually

pytestmark = pytest.mark.processes


async def write_something(client: EtcdClient, store: EtcdStore, chance: Random) -> None:
    cluster, host = chance.choice("abc"), chance.choice(["", "one", "two"])
    if chance.random() < 0.2:
        status = sample_status(cluster).model_copy(update={"host": store.own_host})
        await (store.put_status(status) if chance.random() < 0.6 or not store.own_host else store.leave(cluster))
        return
    visitor = keys.visitors(cluster) + chance.choice([b"10.0.0.1", b"10.0.0.2"])
    key = chance.choice([keys.head(cluster), keys.request(cluster), keys.part(cluster), visitor, keys.HOME])
    if chance.random() < 0.3 and key != keys.HOME:
        gone = [delete(key)]
        if key == keys.head(cluster):
            gone += removals_of(cluster)  # as with every record
        await client.change((), gone)
        return
    is_host = key in {keys.HOME, visitor}
    value = json.dumps([host]) if key.startswith(keys.PARTS) else host if is_host else str(chance.randrange(9))
    await client.change((), [put(key, value.encode())])


@pytest.mark.parametrize("host", ["", "one"])
async def test_after_any_writes_compactions_and_losses_of_the_server_all_is_known(host: str, tmp_path: Path) -> None:
    chance = Random(host)
    identity = HostIdentity(host, tmp_path) if host else None
    with running_etcd(tmp_path / "data") as etcd:
        async with EtcdStore(etcd.address, EtcdCredentials(), host=identity) as store:
            client = EtcdClient(etcd.address, EtcdCredentials())
            watch = store.watch_demands()
            now: dict[str, Demand] = {}

            async def follow() -> None:
                nonlocal now
                while True:
                    try:
                        now = dict(await watch.next())
                    except Exception:  # the server is away
                        await asyncio.sleep(0.01)

            def is_known(wanted: dict[str, Demand]) -> bool:
                return now == wanted

            following = asyncio.create_task(follow())
            for turn in range(120):
                await write_something(client, store, chance)
                if turn % 40 == 20:
                    await client.compact(await client.revision())
                if turn % 40 == 39:
                    etcd.stop()
                    etcd.start()
                if turn % 10 == 0:
                    wanted = await store.demands()
                    await eventually(partial(is_known, wanted))
            following.cancel()
            await client.close()
