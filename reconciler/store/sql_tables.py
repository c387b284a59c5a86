"""The tables of events, of requests for a round and of origins, as statements on one connection."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from reconciler.model.origin import Lineage, Origin
from reconciler.store.protocol import KEPT_GONE

KEPT_EVENTS = 1000
"""Events kept for each cluster; older ones are deleted."""


def add_events(connection: sqlite3.Connection, documents: Sequence[tuple[str, str]]) -> None:
    """Append events, each a cluster's name and its JSON, and delete the oldest. Inside a transaction."""
    connection.executemany("INSERT INTO event (cluster_name, document) VALUES (?, ?)", documents)
    for name in {name for name, _ in documents}:
        connection.execute(
            "DELETE FROM event WHERE cluster_name = :name AND number <= (SELECT number FROM event"
            " WHERE cluster_name = :name ORDER BY number DESC LIMIT 1 OFFSET :kept)",
            {"name": name, "kept": KEPT_EVENTS},
        )


def drop_of_gone(connection: sqlite3.Connection) -> None:
    """Drop events and history of those gone clusters that ended before the last `KEPT_GONE`. Inside a transaction.

    Numbers and tokens stay: things on hosts are marked with them for as long as they exist.
    """
    gone = [
        row[0]
        for row in connection.execute(
            "SELECT cluster_name FROM history WHERE cluster_name NOT IN (SELECT cluster_name FROM record)"
            " GROUP BY cluster_name HAVING max(actor) != '' ORDER BY max(rowid) DESC LIMIT -1 OFFSET ?",
            (KEPT_GONE,),
        )
    ]
    for name in gone:
        connection.execute("UPDATE history SET actor = '', patch = '[]' WHERE cluster_name = ?", (name,))
        connection.execute("DELETE FROM event WHERE cluster_name = ?", (name,))


_LARGEST = 2**63 - 1
"""The largest INTEGER of SQLite."""


def events_after(connection: sqlite3.Connection, name: str | None, after: int) -> list[tuple[int, str, str]]:
    """Number, cluster and JSON of the events above a number, oldest first; for None, of all clusters."""
    return connection.execute(
        "SELECT number, cluster_name, document FROM event"
        " WHERE number > :after AND (:name IS NULL OR cluster_name = :name) ORDER BY number",
        {"after": min(after, _LARGEST), "name": name},
    ).fetchall()


def newest_event(connection: sqlite3.Connection) -> int:
    """The number of the last event of any cluster."""
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM event").fetchone()[0])


def request_round(connection: sqlite3.Connection, name: str) -> int:
    """Count one more request to look at a cluster. Inside a transaction."""
    row = connection.execute(
        "INSERT INTO request VALUES (?, 1) ON CONFLICT (cluster_name) DO UPDATE SET number = number + 1"
        " RETURNING number",
        (name,),
    ).fetchone()
    return int(row[0])


def origin(connection: sqlite3.Connection, name: str, generation: int, state_dir: Path) -> Origin | None:
    """The origin that this generation of a cluster's record marks things with."""
    row = connection.execute(
        "SELECT store, token FROM identity, history WHERE cluster_name = ? AND generation = ?", (name, generation)
    ).fetchone()
    if row is None:
        return None
    return Origin(store=row[0], generation=generation, token=row[1], state_dir=str(state_dir.absolute()))


def lineage(connection: sqlite3.Connection, name: str, found: Collection[Origin], state_dir: Path) -> Lineage:
    """Which of the origins belong to the store's history; each is looked up by its generation."""
    store = str(connection.execute("SELECT store FROM identity").fetchone()[0])
    ours = connection.execute(
        "SELECT generation, token FROM history WHERE cluster_name = ?"
        " AND generation IN (SELECT value FROM json_each(?))",
        (name, json.dumps([of.generation for of in found])),
    ).fetchall()
    known = frozenset(of for of in found if of.store == store and (of.generation, of.token) in ours)
    return Lineage(store, known, str(state_dir.absolute()))
