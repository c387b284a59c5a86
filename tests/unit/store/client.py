"""A client of the store in a process of its own: `python -m tests.unit.store.client VERB STORE ARGUMENT`.

Prints one line when it is ready, and one per result.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Conflict
from reconciler.store.etcd.etcd_address import SCHEME, EtcdAddress, EtcdCredentials
from reconciler.store.host_identity import HostIdentity
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import with_boots

if TYPE_CHECKING:
    from reconciler.store.etcd.etcd_store import EtcdStore

AnyStore: TypeAlias = "SqliteStore | EtcdStore"
Verb = Callable[[AnyStore, Path, int], Awaitable[None]]


def opened(place: str, host: HostIdentity | None = None) -> AnyStore:
    """The store in a directory, or in the etcd with that address, for a `host` that acts on it."""
    if place.startswith(SCHEME):
        from reconciler.store.etcd.etcd_store import EtcdStore  # a third of what the others need to start

        return EtcdStore(EtcdAddress.parse(place), EtcdCredentials(), host=host)
    return SqliteStore(Path(place))


async def increment(store: AnyStore, _state_dir: Path, times: int) -> None:
    """Count the boots of a node up, again after every conflict."""
    for _ in range(times):
        while not await _incremented(store):
            pass


async def burst(store: AnyStore, _state_dir: Path, _times: int) -> None:
    """Count up until killed, reporting each count that was acknowledged."""
    while True:
        if await _incremented(store):
            record = await store.get("lab")
            assert record is not None
            print(record.generation, flush=True)


async def change(store: AnyStore, _state_dir: Path, times: int) -> None:
    """Change the record some times, slowly; report the moment after each change."""
    for _ in range(times):
        await asyncio.sleep(0.07)
        await _incremented(store)
        print(time.monotonic_ns(), flush=True)


async def hold_lease(_store: AnyStore, state_dir: Path, _times: int) -> None:
    """Hold the lease until killed."""
    lease = Lease(state_dir / "controller.lock", purpose="a test")
    await lease.acquire(5)
    print("held", flush=True)
    await asyncio.sleep(60)


async def hold_host(_store: AnyStore, state_dir: Path, _times: int) -> None:
    """Hold the lease of the host until killed."""
    async with HostLease(silent_libvirt(state_dir.parent), state_dir, purpose="a test").turn(5):
        print("held", flush=True)
        await asyncio.sleep(60)


async def _incremented(store: AnyStore) -> bool:
    record = await store.get("lab")
    assert record is not None
    try:
        changed = with_boots(record, record.nodes["alpha"].boot_epoch + 1)
        await store.put(changed, expected_generation=record.generation, actor="client")
    except Conflict:
        return False
    return True


VERBS: dict[str, Verb] = {verb.__name__: verb for verb in (increment, burst, change, hold_lease, hold_host)}


async def _main(verb: str, place: str, argument: int) -> None:
    async with opened(place) as store:
        print("ready", flush=True)
        await VERBS[verb](store, Path(place), argument)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
