"""Noticing changes: one watch stream of etcd for all waiters of a store, from the first on."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from reconciler.errors import StoreUnavailable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.client import EtcdClient

_PAUSE_S = 0.2


class Listener(Protocol):
    """Who keeps up with what is changed, from a revision on that it has read itself."""

    def note(self, revision: int, events: Sequence[Any]) -> None:
        """Take in the changes of a revision, before any waiter is woken by it."""
        ...

    def miss(self) -> None:
        """Changes were missed: everything has to be read again."""
        ...


class EtcdChangeFeed:
    """Where the waiters of one store object meet."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._revision = 0
        self._failure: StoreUnavailable | None = None
        self._follower: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell a listener of every change from now on, or, before the first `revision`, from that on."""
        self._listeners.append(listener)

    async def revision(self) -> int:
        """The revision of the last change so far, by any client of etcd."""
        revision = await self._etcd.revision()
        if self._follower is None:
            self._revision = revision
            self._follower = asyncio.create_task(self._follow())
        return revision

    async def wait_beyond(self, seen: int, *, timeout_s: float) -> int:
        """The revision as soon as there is a change above `seen`, or `seen` at the end of `timeout_s`.

        A change that another program makes in the same etcd may count as one, never the other way round.

        Raises `StoreUnavailable` while etcd is away.
        """
        deadline = time.monotonic() + timeout_s
        if self._revision <= seen and timeout_s <= 0:
            return await self._etcd.revision()  # the stream may be a moment behind
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

    async def close(self) -> None:
        """End the watch."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait({self._follower})

    async def _follow(self) -> None:
        while True:
            try:
                async for revision, events in self._etcd.follow(keys.ROOT, keys.end_of(keys.ROOT), self._revision):
                    for listener in self._listeners:
                        listener.note(revision, events)
                    self._note(revision)
                revision = await self._etcd.revision()
                for listener in self._listeners:
                    listener.miss()
                self._note(revision)
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
