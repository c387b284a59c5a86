"""The embedded store: one SQLite file in the state directory, for many processes at once.

Reads, writes and the watch for changes each have a connection and a thread, so that neither the event loop nor
a reader waits for a writer of another process.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from reconciler.errors import RecordUnreadable
from reconciler.model.event import ClusterEvent
from reconciler.model.origin import Lineage, Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store import sql_tables, sqlite_copies
from reconciler.store.change_feed import ChangeFeed, ChangeFeedWaiter, count_change
from reconciler.store.copies import StoredCluster, not_empty
from reconciler.store.database import DatabaseThread, StoreFile, transaction
from reconciler.store.event_rows import events_in
from reconciler.store.history_rows import entries_in
from reconciler.store.patch import Patch, difference
from reconciler.store.polled_demands import PolledDemands
from reconciler.store.protocol import ClusterEntry, Damage, Demand, HistoryEntry
from reconciler.store.record_json import (
    StoredRecord,
    as_stored,
    document_of,
    loaded,
    parsed,
    record_of,
    refuse_stale,
    says_no_more,
)
from reconciler.store.sole_host import SoleHost

T = TypeVar("T")

FILE_NAME = "records.sqlite"


class SqliteStore(SoleHost):
    """`reconciler.store.protocol.Store` in `state_dir/records.sqlite`; the file is opened on first use.

    Every method raises `StoreUnavailable` if the file is damaged, locked for seconds, of a newer version, or the disk
    is full; the next call tries again.
    """

    def __init__(self, state_dir: Path) -> None:
        file = StoreFile(state_dir / FILE_NAME)
        super().__init__(state_dir)
        self._reads = DatabaseThread(file, "read")
        self._writes = DatabaseThread(file, "write")
        self._polls = DatabaseThread(file, "poll")
        self._feed = ChangeFeed(self._reads, self._polls)
        self._last = _LastRecords()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, cluster_name: str) -> ClusterRecord | None:
        return await self._read(lambda connection: _get(connection, cluster_name, self._last))

    async def names(self) -> list[str]:
        return await self._read(_names)

    async def put(
        self, record: ClusterRecord, *, expected_generation: int, actor: str, consent: Set[str] = frozenset()
    ) -> ClusterRecord:
        agreed = record.model_copy(update={"consent": tuple(sorted(consent))})
        return await self._write(lambda connection: _put(connection, agreed, expected_generation, actor))

    async def remove(self, cluster_name: str, *, expected_generation: int, actor: str) -> None:
        await self._write(lambda connection: _remove(connection, cluster_name, expected_generation, actor))
        self._last.drop(cluster_name)

    async def discard_damaged(self, cluster_name: str, *, actor: str) -> Damage | None:
        return await self._write(lambda connection: _discard_damaged(connection, cluster_name, actor))

    async def history(self, cluster_name: str) -> list[HistoryEntry]:
        return await self._read(lambda connection: _history(connection, cluster_name))

    async def origin(self, cluster_name: str, generation: int) -> Origin | None:
        return await self._read(
            lambda connection: sql_tables.origin(connection, cluster_name, generation, self._state_dir)
        )

    async def lineage(self, cluster_name: str, found: Collection[Origin]) -> Lineage:
        return await self._read(lambda connection: sql_tables.lineage(connection, cluster_name, found, self._state_dir))

    async def status(self, cluster_name: str) -> RecordStatus | None:
        return await self._read(lambda connection: _status(connection, cluster_name))

    async def put_status(self, status: RecordStatus) -> None:
        document = status.model_dump_json()
        await self._write(lambda connection: _put_status(connection, status.cluster_name, document))

    async def standing(self, cluster_name: str) -> ClusterEntry | None:
        return await self._read(lambda connection: _standing(connection, cluster_name, self._last))

    async def demands(self) -> dict[str, Demand]:
        return await self._read(_demands)

    def watch_demands(self) -> PolledDemands:
        return PolledDemands(self)

    async def request_round(self, cluster_name: str) -> int:
        return await self._write(lambda connection: _request_round(connection, cluster_name))

    async def add_events(self, events: Sequence[ClusterEvent]) -> None:
        documents = [(event.cluster_name, event.model_dump_json(exclude={"number"})) for event in events]
        await self._write(lambda connection: _add_events(connection, documents))

    async def events(self, cluster_name: str | None, *, after: int = 0) -> list[ClusterEvent]:
        return await self._read(lambda connection: _events(connection, cluster_name, after))

    async def newest_event(self) -> int:
        return await self._read(sql_tables.newest_event)

    async def identity(self) -> str:
        return await self._read(sqlite_copies.identity_in)

    async def take_identity(self, identity: str) -> None:
        if not await self._write(lambda connection: sqlite_copies.take_identity(connection, identity)):
            raise not_empty(str(self._state_dir))

    async def known(self) -> list[str]:
        return await self._read(sqlite_copies.known_in)

    async def exported(self, cluster_name: str) -> StoredCluster:
        return await self._read(lambda connection: sqlite_copies.exported(connection, cluster_name))

    async def load(self, cluster: StoredCluster) -> None:
        await self._write(lambda connection: sqlite_copies.load(connection, cluster))

    async def watch(self) -> ChangeFeedWaiter:
        return ChangeFeedWaiter(self._feed, await self._feed.revision())

    async def close(self) -> None:
        await self._feed.close()
        for thread in (self._polls, self._writes, self._reads):
            await thread.close()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._reads.run(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result = await self._writes.run(work)
        self._feed.wake()
        return result


def _stored(connection: sqlite3.Connection, name: str) -> StoredRecord | None:
    row = connection.execute("SELECT generation, document FROM record WHERE cluster_name = ?", (name,)).fetchone()
    return None if row is None else as_stored(name, *row)


def _names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT cluster_name FROM record ORDER BY cluster_name")]


class _LastRecords:
    """The last record read of each cluster: the same text is not parsed again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, str, ClusterRecord]] = {}

    def of(self, name: str, generation: int, text: str) -> ClusterRecord:
        last = self._last.get(name)
        if last is None or last[:2] != (generation, text):
            last = self._last[name] = (generation, text, record_of(name, as_stored(name, generation, text)))
        return last[2]

    def drop(self, name: str) -> None:
        """The cluster no longer has a record."""
        self._last.pop(name, None)


def _get(connection: sqlite3.Connection, name: str, last: _LastRecords) -> ClusterRecord | None:
    row = connection.execute("SELECT generation, document FROM record WHERE cluster_name = ?", (name,)).fetchone()
    if row is None:
        last.drop(name)
        return None
    return last.of(name, *row)


def _put(connection: sqlite3.Connection, record: ClusterRecord, expected: int, actor: str) -> ClusterRecord:
    name, document = record.cluster_name, document_of(record)
    read_back = record_of(
        name, StoredRecord(expected, document)
    )  # before it is written, so that everything stored is readable
    return _write_document(connection, read_back, document, expected, actor)


def _write_document(
    connection: sqlite3.Connection, record: ClusterRecord, document: dict[str, Any], expected: int, actor: str
) -> ClusterRecord:
    """Write the document if the record is still at the expected generation; returns the record afterwards."""
    name = record.cluster_name
    with transaction(connection):
        stored = _stored(connection, name)
        refuse_stale(name, stored.generation if stored else 0, expected)
        if stored and says_no_more(record, before := record_of(name, stored)):
            return before
        generation = _record_change(connection, name, actor, difference(stored and stored.document, document))
        connection.execute(
            "INSERT INTO record VALUES (:name, :generation, :document)"
            " ON CONFLICT (cluster_name) DO UPDATE SET generation = :generation, document = :document",
            {"name": name, "generation": generation, "document": json.dumps(document)},
        )
        return record.model_copy(update={"generation": generation})


def _remove(connection: sqlite3.Connection, name: str, expected: int, actor: str) -> None:
    with transaction(connection):
        row = connection.execute("SELECT generation FROM record WHERE cluster_name = ?", (name,)).fetchone()
        refuse_stale(name, row[0] if row else 0, expected)
        if row:
            _delete(connection, name, actor)


def _discard_damaged(connection: sqlite3.Connection, name: str, actor: str) -> Damage | None:
    with transaction(connection):
        try:
            stored = _stored(connection, name)
            if stored is not None:
                record_of(name, stored)
        except RecordUnreadable:
            _delete(connection, name, actor)
            return Damage.RECORD
        try:
            _status(connection, name)
        except RecordUnreadable:
            connection.execute("DELETE FROM status WHERE cluster_name = ?", (name,))
            count_change(connection)
            return Damage.STATUS
    return None


def _delete(connection: sqlite3.Connection, name: str, actor: str) -> None:
    _record_change(connection, name, actor, ({"op": "replace", "path": "", "value": None},))
    connection.execute("DELETE FROM record WHERE cluster_name = ?", (name,))
    sql_tables.drop_of_gone(connection)


def _record_change(connection: sqlite3.Connection, name: str, actor: str, patch: Patch) -> int:
    """Write the history of a change; its generation is above every earlier one of the cluster."""
    newest = connection.execute("SELECT max(generation) FROM history WHERE cluster_name = ?", (name,)).fetchone()[0]
    generation = (newest or 0) + 1
    connection.execute(
        "INSERT INTO history (cluster_name, generation, actor, at, patch, token)"
        " VALUES (?, ?, ?, ?, ?, lower(hex(randomblob(8))))",
        (name, generation, actor, datetime.now(UTC).isoformat(), json.dumps(patch)),
    )
    count_change(connection)
    return generation


def _history(connection: sqlite3.Connection, name: str) -> list[HistoryEntry]:
    rows = connection.execute(
        "SELECT generation, actor, at, patch FROM history WHERE cluster_name = ? AND actor != '' ORDER BY generation",
        (name,),
    )
    return list(entries_in(name, ((number, partial(_stored_change, name, *change)) for number, *change in rows)))


def _stored_change(name: str, actor: str, at: str, patch: str) -> dict[str, Any]:
    return {"actor": actor, "at": at, "patch": loaded(patch, f"history of cluster {name}")}


def _status(connection: sqlite3.Connection, name: str) -> RecordStatus | None:
    row = connection.execute("SELECT document FROM status WHERE cluster_name = ?", (name,)).fetchone()
    return _status_of(name, row and row[0])


def _status_of(name: str, text: str | None) -> RecordStatus | None:
    what = f"status of cluster {name}"
    return None if text is None else parsed(RecordStatus, loaded(text, what), what)


def _standing(connection: sqlite3.Connection, name: str, last: _LastRecords) -> ClusterEntry | None:
    row = connection.execute(
        "SELECT generation, record.document, status.document, coalesce(number, 0) FROM record"
        " LEFT JOIN status USING (cluster_name) LEFT JOIN request USING (cluster_name) WHERE cluster_name = ?",
        (name,),
    ).fetchone()
    if row is None:
        last.drop(name)
        return None
    generation, record, status, request = row
    return ClusterEntry(last.of(name, generation, record), _status_of(name, status), request)


def _demands(connection: sqlite3.Connection) -> dict[str, Demand]:
    rows = connection.execute(
        "SELECT cluster_name, generation, coalesce(number, 0) FROM record LEFT JOIN request USING (cluster_name)"
    )
    return {name: Demand(generation, number) for name, generation, number in rows}


def _request_round(connection: sqlite3.Connection, name: str) -> int:
    with _unhurried(connection):
        number = sql_tables.request_round(connection, name)
        count_change(connection)
    return number


def _add_events(connection: sqlite3.Connection, documents: Sequence[tuple[str, str]]) -> None:
    with _unhurried(connection):
        sql_tables.add_events(connection, documents)
        count_change(connection)


def _events(connection: sqlite3.Connection, name: str | None, after: int) -> list[ClusterEvent]:
    rows = sql_tables.events_after(connection, name, after)
    return list(events_in((number, cluster, partial(_as_stored_text, text)) for number, cluster, text in rows))


def _as_stored_text(text: str) -> str:
    return text


@contextmanager
def _unhurried(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that does not wait for the disk: a power cut may lose what it wrote, but only as a whole."""
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        with transaction(connection):
            yield
    finally:
        connection.execute("PRAGMA synchronous = FULL")


def _put_status(connection: sqlite3.Connection, name: str, document: str) -> None:
    """A lost status is written again by the next round."""
    with _unhurried(connection):
        written = connection.execute(
            "INSERT INTO status SELECT :name, :document FROM record WHERE cluster_name = :name"
            " ON CONFLICT (cluster_name) DO UPDATE SET document = :document",
            {"name": name, "document": document},
        )
        if written.rowcount:
            count_change(connection)
