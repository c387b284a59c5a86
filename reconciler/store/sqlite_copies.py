"""Reading and writing all that the embedded store holds of a cluster, as statements on one connection."""

import sqlite3

from reconciler.store.change_feed import count_change
from reconciler.store.copies import StoredChange, StoredCluster
from reconciler.store.database import transaction
from reconciler.store.sql_tables import add_events


def identity_in(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT store FROM identity").fetchone()[0])


def known_in(connection: sqlite3.Connection) -> list[str]:
    """Every cluster that has or had a record."""
    return [row[0] for row in connection.execute("SELECT DISTINCT cluster_name FROM history ORDER BY cluster_name")]


def take_identity(connection: sqlite3.Connection, identity: str) -> bool:
    """Give an empty store that identity; False where there are clusters under another one."""
    with transaction(connection):
        if identity_in(connection) != identity and known_in(connection):
            return False
        connection.execute("UPDATE identity SET store = ?", (identity,))
    return True


def exported(connection: sqlite3.Connection, name: str) -> StoredCluster:
    row = connection.execute("SELECT generation, document FROM record WHERE cluster_name = ?", (name,)).fetchone()
    status = connection.execute("SELECT document FROM status WHERE cluster_name = ?", (name,)).fetchone()
    request = connection.execute("SELECT number FROM request WHERE cluster_name = ?", (name,)).fetchone()
    changes = connection.execute(
        "SELECT generation, actor, at, patch, token FROM history WHERE cluster_name = ? ORDER BY generation", (name,)
    )
    events = connection.execute("SELECT document FROM event WHERE cluster_name = ? ORDER BY number", (name,))
    return StoredCluster(
        name=name,
        generation=row[0] if row else 0,
        record=row[1] if row else None,
        status=status[0] if status else None,
        request=request[0] if request else 0,
        changes=tuple(StoredChange(*change) for change in changes),
        events=tuple(document for (document,) in events),
    )


def load(connection: sqlite3.Connection, cluster: StoredCluster) -> None:
    """Write it in place of all that is there of a cluster of that name."""
    name = cluster.name
    with transaction(connection):
        for table in ("status", "record", "history", "request", "event"):
            connection.execute(f"DELETE FROM {table} WHERE cluster_name = ?", (name,))  # noqa: S608  names from here
        connection.executemany(
            "INSERT INTO history (cluster_name, generation, actor, at, patch, token) VALUES (?, ?, ?, ?, ?, ?)",
            [(name, of.generation, of.actor, of.at, of.patch, of.token) for of in cluster.changes],
        )
        if cluster.record is not None:
            connection.execute("INSERT INTO record VALUES (?, ?, ?)", (name, cluster.generation, cluster.record))
        if cluster.record is not None and cluster.status is not None:
            connection.execute("INSERT INTO status VALUES (?, ?)", (name, cluster.status))
        if cluster.request:
            connection.execute("INSERT INTO request VALUES (?, ?)", (name, cluster.request))
        add_events(connection, [(name, document) for document in cluster.events])
        count_change(connection)
