"""Notices changes: every write transaction increments one number in the database, and waiters wait for it to grow.

One thread polls for all waiters of a store, and only while there are any. SQLite has no notification across
processes; a query costs 5 µs, so the wake-ups are all that an idle waiter costs.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reconciler.errors import ClusterError
from reconciler.store.database import DatabaseThread

POLL_INTERVAL_S = 0.04


def revision_of(connection: sqlite3.Connection) -> int:
    """The number of write transactions so far."""
    return int(connection.execute("SELECT number FROM revision").fetchone()[0])


def count_change(connection: sqlite3.Connection) -> None:
    """Count a change of a record or status, inside its own transaction."""
    connection.execute("UPDATE revision SET number = number + 1")


class ChangeFeed:
    """Where the waiters of one store object meet: `reads` answers, `polls` watches for other processes' changes."""

    def __init__(self, reads: DatabaseThread, polls: DatabaseThread) -> None:
        self._reads = reads
        self._polls = polls
        self._waiting = 0
        self._closed = False
        self._poller: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def revision(self) -> int:
        """The number of changes so far, by any process."""
        return await self._reads.run(revision_of)

    async def wait_beyond(self, seen: int, *, timeout_s: float) -> int:
        """The revision as soon as it is above `seen`, or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._counted():
            while True:
                changed = self._changed
                revision = await self.revision()
                left_s = deadline - time.monotonic()
                if revision > seen or left_s <= 0:
                    return revision
                self._ensure_polled(revision)
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await changed.wait()

    def wake(self) -> None:
        """Let every waiter look again; each waits for a new event afterwards."""
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _ensure_polled(self, seen: int) -> None:
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll_beyond(seen))

    async def _poll_beyond(self, seen: int) -> None:
        """Wake the waiters however the poll ends: they read for themselves, and so get its error themselves."""
        try:
            with suppress(ClusterError):
                await self._polls.run(lambda connection: self._poll(connection, seen))
        finally:
            self._poller = None
            self.wake()

    def _poll(self, connection: sqlite3.Connection, seen: int) -> None:
        while self._waiting and not self._closed and revision_of(connection) <= seen:
            time.sleep(POLL_INTERVAL_S)

    async def close(self) -> None:
        """Stop polling."""
        self._closed = True
        if self._poller is not None:
            await self._poller


class ChangeFeedWaiter:
    """One waiter's position in the changes: those since its creation, or since its last `wait`, count."""

    def __init__(self, feed: ChangeFeed, seen: int) -> None:
        self._feed = feed
        self._seen = seen

    async def wait(self, *, timeout_s: float) -> bool:
        revision = await self._feed.wait_beyond(self._seen, timeout_s=timeout_s)
        grown, self._seen = revision > self._seen, revision
        return grown
