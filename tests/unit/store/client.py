"""A client of the store in a process of its own: `python -m tests.unit.store.client VERB STATE_DIR ARGUMENT`.

Prints one line when it is ready, and one per result.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from reconciler.errors import Conflict
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import with_boots

Verb = Callable[[SqliteStore, Path, int], Awaitable[None]]


async def increment(store: SqliteStore, _state_dir: Path, times: int) -> None:
    """Count the boots of a node up, again after every conflict."""
    for _ in range(times):
        while not await _incremented(store):
            pass


async def burst(store: SqliteStore, _state_dir: Path, _times: int) -> None:
    """Count up until killed, reporting each count that was acknowledged."""
    while True:
        if await _incremented(store):
            record = await store.get("lab")
            assert record is not None
            print(record.generation, flush=True)


async def change(store: SqliteStore, _state_dir: Path, times: int) -> None:
    """Change the record some times, slowly; report the moment after each change."""
    for _ in range(times):
        await asyncio.sleep(0.07)
        await _incremented(store)
        print(time.monotonic_ns(), flush=True)


async def hold_lease(_store: SqliteStore, state_dir: Path, _times: int) -> None:
    """Hold the lease until killed."""
    lease = Lease(state_dir / "controller.lock", purpose="a test")
    await lease.acquire(5)
    print("held", flush=True)
    await asyncio.sleep(60)


async def hold_host(_store: SqliteStore, state_dir: Path, _times: int) -> None:
    """Hold the lease of the host until killed."""
    async with HostLease(silent_libvirt(state_dir.parent), state_dir, purpose="a test").turn(5):
        print("held", flush=True)
        await asyncio.sleep(60)


async def _incremented(store: SqliteStore) -> bool:
    record = await store.get("lab")
    assert record is not None
    try:
        changed = with_boots(record, record.nodes["alpha"].boot_epoch + 1)
        await store.put(changed, expected_generation=record.generation, actor="client")
    except Conflict:
        return False
    return True


VERBS: dict[str, Verb] = {verb.__name__: verb for verb in (increment, burst, change, hold_lease, hold_host)}


async def _main(verb: str, state_dir: Path, argument: int) -> None:
    async with SqliteStore(state_dir) as store:
        print("ready", flush=True)
        await VERBS[verb](store, state_dir, argument)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
