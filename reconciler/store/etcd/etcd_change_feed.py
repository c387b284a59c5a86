"""Noticing changes: one watch stream of etcd for all waiters of a store, while there are any.

It tells of every change of every cluster, so nobody waits here for longer than it takes to do something; a service
waits for demands (`etcd_demands.py`).
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconciler.errors import StoreUnavailable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient

_PAUSE_S = 0.2
_IDLE_S = 5.0
_EVERYTHING = ((keys.ROOT, keys.end_of(keys.ROOT)),)


class EtcdChangeFeed:
    """Where the waiters of one store object meet."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._revision = 0
        self._failure: StoreUnavailable | None = None
        self._follower: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._waiting = 0
        self._needed_s = 0.0

    async def revision(self) -> int:
        """The revision of the last change so far, by any client of etcd."""
        return await self._etcd.revision()

    async def wait_beyond(self, seen: int, *, timeout_s: float) -> int:
        """The revision as soon as there is a change above `seen`, or `seen` at the end of `timeout_s`.

        A change that another program makes in the same etcd may count as one, never the other way round.

        Raises `StoreUnavailable` while etcd is away.
        """
        deadline = time.monotonic() + timeout_s
        if self._revision <= seen and timeout_s <= 0:
            return await self._etcd.revision()  # the stream may be a moment behind
        with self._followed(seen):
            return await self._beyond(seen, deadline)

    async def _beyond(self, seen: int, deadline: float) -> int:
        while self._revision <= seen:
            if self._failure is not None:
                raise self._failure
            changed, left_s = self._changed, deadline - time.monotonic()
            if left_s <= 0:
                return seen
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()
        return self._revision

    @contextmanager
    def _followed(self, seen: int) -> Iterator[None]:
        """Follow the changes for as long as somebody waits, and a little longer."""
        if self._follower is None or self._follower.done():
            self._revision, self._failure = seen, None
            self._follower = asyncio.create_task(self._follow())
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._needed_s = time.monotonic()

    async def close(self) -> None:
        """End the watch."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait({self._follower})

    async def _follow(self) -> None:
        while True:
            try:
                async for revision, events in self._etcd.follow(_EVERYTHING, self._revision):
                    self._note(revision)
                    if events and not self._waiting and time.monotonic() > self._needed_s + _IDLE_S:
                        return
                self._note(await self._etcd.revision())
            except StoreUnavailable as error:
                self._failure = error
                self._wake()
            await asyncio.sleep(_PAUSE_S)

    def _note(self, revision: int) -> None:
        self._failure = None
        if revision > self._revision:
            self._revision = revision
            self._wake()

    def _wake(self) -> None:
        """Let every waiter look again; each waits for a fresh event afterwards."""
        self._changed.set()
        self._changed = asyncio.Event()


class EtcdChangeWaiter:
    """One waiter's place in the changes: what came since its making, or since its last `wait`, counts."""

    def __init__(self, feed: EtcdChangeFeed, seen: int) -> None:
        self._feed = feed
        self._seen = seen

    async def wait(self, *, timeout_s: float) -> bool:
        revision = await self._feed.wait_beyond(self._seen, timeout_s=timeout_s)
        grown, self._seen = revision > self._seen, max(revision, self._seen)
        return grown
