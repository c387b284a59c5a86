"""One SQLite file: opening it safely, one thread per connection, and its failures as `StoreUnavailable`."""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from reconciler.errors import InternalError, StoreLocked, StoreUnavailable
from reconciler.store.state_dir import directory_unusable, ensure_state_dir

T = TypeVar("T")

_APPLICATION_ID = 0x766D636C  # "vmcl": tells our file from any other SQLite file
_BUSY_TIMEOUT_S = 5.0
_WAL_RETRY_S = 0.01
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_DAMAGE = re.compile(r"no such (table|column)|has no column named")

_VERSIONS = (
    """
CREATE TABLE record (
    cluster_name TEXT PRIMARY KEY,
    generation   INTEGER NOT NULL,
    document     TEXT NOT NULL
);
CREATE TABLE status (
    cluster_name TEXT PRIMARY KEY REFERENCES record ON DELETE CASCADE,
    document     TEXT NOT NULL
);
CREATE TABLE history (
    cluster_name TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    at           TEXT NOT NULL,
    patch        TEXT NOT NULL,
    PRIMARY KEY (cluster_name, generation)
);
CREATE TABLE revision (number INTEGER NOT NULL);
INSERT INTO revision VALUES (0);
""",
    """
CREATE TABLE event (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster_name TEXT NOT NULL,
    document     TEXT NOT NULL
);
CREATE INDEX event_of_cluster ON event (cluster_name, number);
CREATE TABLE request (
    cluster_name TEXT PRIMARY KEY,
    number       INTEGER NOT NULL
);
""",
    """
CREATE TABLE identity (store TEXT NOT NULL);
INSERT INTO identity VALUES (lower(hex(randomblob(8))));
ALTER TABLE history ADD COLUMN token TEXT NOT NULL DEFAULT '';
UPDATE history SET token = lower(hex(randomblob(8)));
""",
)
"""What leads from each version of the schema to the next; a file of an older one is brought up to date."""

SCHEMA_VERSION = len(_VERSIONS)


class DatabaseThread:
    """A connection that lives in a thread of its own, opened at its first use and again after a failure."""

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store-{name}")
        self._process_id = os.getpid()
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns; raises `StoreUnavailable` for whatever SQLite has to say.

        Work that has begun runs to its end also when the caller is cancelled.
        """
        if os.getpid() != self._process_id:
            raise InternalError("a store was used in a forked child: a connection cannot be shared, open a new store")
        if self._closed:
            raise InternalError("a store was used after it was closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, work)

    async def close(self) -> None:
        """Close the connection and end the thread. Closing twice is closing once."""
        if self._closed or os.getpid() != self._process_id:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._disconnect)
        self._executor.shutdown(wait=False)

    def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.Error as error:
            if not _name_of(error).startswith(_LOCKED):
                self._disconnect()
            raise _unavailable(self._file, error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self._file)
            self._identity = _identity(self._file)
        elif _identity(self._file) != self._identity:
            raise StoreUnavailable(
                f"the store {self._file} was moved or replaced while in use", hint="restart this program"
            )
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction that is committed whole, or not at all when the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def open_database(file: Path) -> sqlite3.Connection:
    """Open our SQLite file, making it where it is missing.

    Raises `StoreUnavailable` for a file that is not ours or of a newer program (both stay untouched), and
    `sqlite3.Error` for all else.
    """
    ensure_state_dir(file.parent)
    _create_private(file)
    connection = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    connection.text_factory = _text
    try:
        _refuse_what_is_not_ours(connection, file)
        _enter_wal(connection, file)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _ensure_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _text(content: bytes) -> str:
    """Damaged text too, which is then refused by who knows what it should have been."""
    return content.decode(errors="surrogateescape")


def _create_private(file: Path) -> None:
    """Make the file empty and for its owner alone; SQLite gives its -wal and -shm files the same rights.

    A file that exists is not opened here: closing any descriptor of a database file drops the POSIX locks
    that other connections of this process hold on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise directory_unusable(file.parent, error) from error


def _refuse_what_is_not_ours(connection: sqlite3.Connection, file: Path) -> None:
    # One statement, so that another process that is just making the schema is seen before or after it.
    version, application, tables = connection.execute(
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id),"
        " (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if application != _APPLICATION_ID and (application or version or tables):
        raise StoreUnavailable(f"{file} is a database of another program", hint=_move_aside(file))
    if version > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"the store {file} was written by a newer vmcluster (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade this vmcluster, or set VMCLUSTER_STATE_DIR to another directory",
        )


def _enter_wal(connection: sqlite3.Connection, file: Path) -> None:
    """Switch to write-ahead logging; SQLite's busy handler does not cover this switch, so wait by hand."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if not _name_of(error).startswith(_LOCKED) or time.monotonic() > deadline:
                raise
        time.sleep(_WAL_RETRY_S)
    if mode != "wal":
        raise StoreUnavailable(
            f"the file system of {file} cannot hold a store for several processes (no shared memory)",
            hint="set VMCLUSTER_STATE_DIR to a directory on a local disk",
        )


def _ensure_schema(connection: sqlite3.Connection) -> None:
    if _user_version(connection) == SCHEMA_VERSION:
        return
    with transaction(connection):
        for steps in _VERSIONS[_user_version(connection) :]:  # none where another process was first
            for statement in filter(str.strip, steps.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _user_version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as answer:
        return int(answer.fetchone()[0])


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _name_of(error: sqlite3.Error) -> str:
    """SQLite's own name of the error; empty for what Python's module raises by itself, which is a defect of ours."""
    return str(getattr(error, "sqlite_errorname", ""))


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether somebody's hand was in the file: a table of ours is gone, or another."""
    return isinstance(error, sqlite3.OperationalError) and bool(_DAMAGE.search(str(error)))


def _unavailable(file: Path, error: sqlite3.Error) -> StoreUnavailable | InternalError:
    name = _name_of(error)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")) or _is_damage(error):
        return StoreUnavailable(f"the store {file} is damaged: {error}", hint=_move_aside(file))
    if name.startswith(_LOCKED):
        return StoreLocked(
            f"the store {file} is locked by another process for more than {_BUSY_TIMEOUT_S:g} s", hint="try again"
        )
    if name.startswith("SQLITE_FULL"):
        return StoreUnavailable(f"the disk that holds {file} is full", hint="free some space, then try again")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH")):
        return StoreUnavailable(
            f"the store {file} cannot be opened for writing: {error}",
            hint="run as the user who owns it, or set VMCLUSTER_STATE_DIR to another directory",
        )
    if name.startswith(("SQLITE_IOERR", "SQLITE_NOMEM")):
        return StoreUnavailable(
            f"reading or writing {file} failed: {error} ({name})", hint="check the disk and what memory is free"
        )
    return InternalError(f"the store {file} refused a statement: {error} ({name or type(error).__name__})")


def _move_aside(file: Path) -> str:
    return (
        f"end all vmcluster processes, then move it aside with its companions: mv {file} {file}.damaged; "
        f"mv {file}-wal {file}.damaged-wal; rm -f {file}-shm. No machine is lost: `vmcluster adopt CLUSTER` "
        "rebuilds a record from the host"
    )
