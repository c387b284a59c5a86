"""One SQLite file: opened safely, one thread per connection, failures raised as `StoreUnavailable`."""

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
"""The steps from each version of the schema to the next; a file with an older one is migrated."""

SCHEMA_VERSION = len(_VERSIONS)


class StoreFile:
    """The file of a store: the same one from its first use on, for all connections."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: tuple[int, int] | None = None

    def require_same(self) -> None:
        """Raise `StoreUnavailable` if another file, or none, has its name now."""
        if self._identity is not None and _identity(self.path) != self._identity:
            raise StoreUnavailable(
                f"the store {self.path} was moved or replaced while in use", hint="restart this program"
            )

    def opened(self) -> sqlite3.Connection:
        """A new connection to it."""
        self.require_same()
        connection = open_database(self.path)
        self._identity = self._identity or _identity(self.path)
        return connection


class DatabaseThread:
    """A connection in its own thread, opened on first use and reopened after a failure."""

    def __init__(self, file: StoreFile, name: str) -> None:
        self._file = file
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"store-{name}")
        self._process_id = os.getpid()
        self._closed = False
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`; raises `StoreUnavailable` for every error of SQLite.

        Work that has started is finished even if the caller is cancelled.
        """
        if os.getpid() != self._process_id:
            raise InternalError("a store was used in a forked child: a connection cannot be shared, open a new store")
        if self._closed:
            raise InternalError("a store was used after it was closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, work)

    async def close(self) -> None:
        """Close the connection and end the thread. Closing again does nothing."""
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
            raise _unavailable(self._file.path, error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._file.opened()
        self._file.require_same()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction, committed when the block ends and rolled back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def open_database(file: Path) -> sqlite3.Connection:
    """Open our SQLite file, creating it if missing.

    Raises `StoreUnavailable` for a file that is not ours or of a newer version (both stay untouched), and
    `sqlite3.Error` for everything else.
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
    """Decode damaged text too, which the caller then refuses: it knows what the text should have been."""
    return content.decode(errors="surrogateescape")


def _create_private(file: Path) -> None:
    """Create the file empty and private to its owner; SQLite gives its -wal and -shm files the same mode.

    An existing file is not opened here: closing any descriptor of a database file drops the POSIX locks that other
    connections of this process hold on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise directory_unusable(file.parent, error) from error


def _refuse_what_is_not_ours(connection: sqlite3.Connection, file: Path) -> None:
    # One statement, so that the schema is seen either before or after another process creates it.
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
    """Switch to write-ahead logging; SQLite's busy handler does not cover this switch, so wait here."""
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
            f"the file system of {file} does not support a store shared by processes (no shared memory)",
            hint="set VMCLUSTER_STATE_DIR to a directory on a local disk",
        )


def _ensure_schema(connection: sqlite3.Connection) -> None:
    if _user_version(connection) == SCHEMA_VERSION:
        return
    with transaction(connection):
        for steps in _VERSIONS[_user_version(connection) :]:  # none if another process was first
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
    """SQLite's own name of the error; empty for errors of Python's module itself, which are our bugs."""
    return str(getattr(error, "sqlite_errorname", ""))


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether somebody edited the file: one of our tables is missing or different."""
    return isinstance(error, sqlite3.OperationalError) and bool(_DAMAGE.search(str(error)))


def _unavailable(file: Path, error: sqlite3.Error) -> StoreUnavailable | InternalError:
    name = _name_of(error)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")) or _is_damage(error):
        return StoreUnavailable(f"the store {file} is damaged: {error}", hint=_move_aside(file))
    if name.startswith(_LOCKED):
        return StoreLocked(
            f"the store {file} has been locked by another process for over {_BUSY_TIMEOUT_S:g} s", hint="try again"
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
            f"reading or writing {file} failed: {error} ({name})", hint="check the disk and the free memory"
        )
    return InternalError(f"the store {file} refused a statement: {error} ({name or type(error).__name__})")


def _move_aside(file: Path) -> str:
    return (
        f"stop all vmcluster processes, then move it aside with its companions: mv {file} {file}.damaged; "
        f"mv {file}-wal {file}.damaged-wal; rm -f {file}-shm. No machine is lost: `cluster_adopt` "
        "rebuilds a record from the host"
    )
