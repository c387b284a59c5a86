import asyncio
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import InternalError, StoreLocked, StoreUnavailable
from reconciler.store import database
from reconciler.store.protocol import Damage
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.samples import sample_record, sample_status, with_boots


async def written(state_dir: Path, *names: str) -> Path:
    """A store with these clusters, closed again."""
    async with SqliteStore(state_dir) as store:
        for name in names:
            await store.put(sample_record(name), expected_generation=0, actor="test")
            await store.put_status(sample_status(name))
    return state_dir / "records.sqlite"


def placed(state_dir: Path, content: bytes) -> Path:
    """A file of others where the store would be."""
    state_dir.mkdir()
    file = state_dir / "records.sqlite"
    file.write_bytes(content)
    return file


def altered(file: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement, values)
    connection.close()


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


async def test_directory_and_files_are_for_their_owner_alone(state_dir: Path) -> None:
    previous = os.umask(0)
    try:
        async with SqliteStore(state_dir) as store:
            await store.put(sample_record(), expected_generation=0, actor="test")
            names = ("records.sqlite", "records.sqlite-shm", "records.sqlite-wal")
            assert {path.name: mode(path) for path in files_in(state_dir)} == dict.fromkeys(names, 0o600)
            assert mode(state_dir) == 0o700
    finally:
        os.umask(previous)


async def test_a_closed_store_leaves_one_file_and_is_closed_twice_without_harm(state_dir: Path) -> None:
    file = await written(state_dir, "lab")
    assert files_in(state_dir) == [file]
    store = SqliteStore(state_dir)
    await store.get("lab")
    await store.close()
    await store.close()
    with pytest.raises(InternalError, match="closed"):
        await store.get("lab")


async def test_every_commit_of_a_record_waits_for_the_disk(sqlite_store: SqliteStore) -> None:
    await sqlite_store.put(sample_record(), expected_generation=0, actor="test")
    await sqlite_store.put_status(sample_status())
    pragmas = await sqlite_store._writes.run(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
        ]
    )
    assert pragmas == [2, "wal"]  # 2 is FULL


@pytest.mark.parametrize("content", [b"not a database, but long enough to have a header of its own" * 20, b"\0" * 8192])
async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(state_dir: Path, content: bytes) -> None:
    file = placed(state_dir, content)
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match="damaged") as caught:
            await store.get("lab")
        assert str(file) in str(caught.value)
        assert f"mv {file} " in str(caught.value)
        assert file.read_bytes() == content


async def test_a_store_moved_aside_while_none_was_open_is_followed_by_a_fresh_one(state_dir: Path) -> None:
    file = placed(state_dir, b"garbage" * 1000)
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable):
            await store.names()
        file.rename(state_dir / "records.sqlite.damaged")
        assert await store.names() == []


async def test_damaged_pages_are_an_error_and_no_traceback(state_dir: Path) -> None:
    file = await written(state_dir, *(f"lab{index}" for index in range(20)))
    with file.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * (file.stat().st_size - 4096))
    damaged = file.read_bytes()
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match=f"{file} is damaged"):
            await store.get("lab0")
    assert file.read_bytes() == damaged


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(state_dir: Path) -> None:
    file = placed(state_dir, b"")
    altered(file, "CREATE TABLE theirs (x)")
    before = file.read_bytes()
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match="another program"):
            await store.names()
    assert file.read_bytes() == before


async def test_a_store_of_a_newer_program_is_refused_with_the_remedy(state_dir: Path) -> None:
    file = await written(state_dir, "lab")
    altered(file, f"PRAGMA user_version = {database.SCHEMA_VERSION + 1}")
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match="newer vmcluster") as caught:
            await store.names()
    assert "upgrade" in str(caught.value)


@pytest.mark.parametrize("document", ['{"cluster_name": "new", "colour": "red"}', "{", "[]", "null"])
async def test_an_unreadable_record_is_named_and_the_other_clusters_stay_readable(
    state_dir: Path, document: str
) -> None:
    file = await written(state_dir, "new", "old")
    altered(file, "UPDATE record SET document = ? WHERE cluster_name = 'new'", document)
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match="record of cluster new"):
            await store.get("new")
        with pytest.raises(StoreUnavailable, match="record of cluster new"):
            await store.put(sample_record("new"), expected_generation=1, actor="test")
        assert await store.names() == ["new", "old"]
        assert await store.get("old") is not None
    kept = sqlite3.connect(file)
    assert kept.execute("SELECT document FROM record WHERE cluster_name = 'new'").fetchone() == (document,)
    kept.close()


async def test_an_unreadable_status_is_named(state_dir: Path) -> None:
    file = await written(state_dir, "lab")
    altered(file, "UPDATE status SET document = ?", json.dumps({"mood": "fine"}))
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable, match="status of cluster lab"):
            await store.status("lab")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE status",
        "ALTER TABLE record DROP COLUMN document",
        "UPDATE status SET document = CAST(x'ff' AS TEXT)",
        "UPDATE record SET document = CAST(x'ff' AS TEXT)",
    ],
)
async def test_what_somebody_did_to_the_tables_is_damage_and_no_defect(state_dir: Path, statement: str) -> None:
    altered(await written(state_dir, "lab"), statement)
    async with SqliteStore(state_dir) as store:
        with pytest.raises(StoreUnavailable):
            await store.standing("lab")


@pytest.mark.parametrize("column", ["at", "patch", "actor"])
async def test_a_damaged_history_is_named_and_the_record_stays_readable(state_dir: Path, column: str) -> None:
    altered(await written(state_dir, "lab"), f"UPDATE history SET {column} = x'ff'")
    async with SqliteStore(state_dir) as store:
        (entry,) = await store.history("lab")
        assert "history of cluster lab cannot be read: " in entry.unreadable
        assert await store.get("lab") is not None


@pytest.mark.parametrize(
    ("table", "document", "damage"),
    [
        ("record", "{}", Damage.RECORD),
        ("record", b"\xff", Damage.RECORD),
        ("status", '{"mood": "fine"}', Damage.STATUS),
        ("status", "{", Damage.STATUS),
        (None, "", None),
    ],
)
async def test_only_what_is_damaged_is_discarded(
    state_dir: Path, table: str | None, document: object, damage: Damage | None
) -> None:
    file = await written(state_dir, "lab", "other")
    if table is not None:
        altered(file, f"UPDATE {table} SET document = ? WHERE cluster_name = 'lab'", document)
    async with SqliteStore(state_dir) as store:
        other = await store.standing("other")
        assert await store.discard_damaged("lab", actor="test") is damage
        assert (await store.get("lab") is None) == (damage is Damage.RECORD)
        assert (await store.status("lab") is None) == (damage is not None)
        assert await store.standing("other") == other
        assert [entry.generation for entry in await store.history("lab")] == [1, 2][: 1 + (damage is Damage.RECORD)]
        assert await store.discard_damaged("never-was", actor="test") is None


async def test_nothing_is_discarded_while_the_store_is_locked(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.05)
    file = await written(state_dir, "lab")
    altered(file, "UPDATE record SET document = '{}'")
    blocker = sqlite3.connect(file, isolation_level=None)
    async with SqliteStore(state_dir) as store:
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked) as caught:
            await store.discard_damaged("lab", actor="test")
        assert (caught.value.code, caught.value.terminal) == (ErrorCode.STORE_UNAVAILABLE, False)
        blocker.execute("ROLLBACK")
        assert await store.names() == ["lab"]
    blocker.close()


async def test_a_record_without_a_field_that_came_later_is_equal_to_its_default(state_dir: Path) -> None:
    file = await written(state_dir, "lab")
    altered(file, "UPDATE record SET document = json_remove(document, '$.deletion')")
    async with SqliteStore(state_dir) as store:
        same = await store.put(sample_record(), expected_generation=1, actor="test")
        assert same.generation == 1
        changed = await store.put(with_boots(sample_record(), 1), expected_generation=1, actor="test")
        assert await store.get("lab") == changed
        assert len((await store.history("lab"))[-1].patch) == 2


async def test_a_lock_that_is_not_given_back_is_an_error_that_can_be_tried_again(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.2)
    file = await written(state_dir, "lab")
    blocker = sqlite3.connect(file, isolation_level=None)
    async with SqliteStore(state_dir) as store:
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process") as caught:
            await store.put(with_boots(sample_record(), 1), expected_generation=1, actor="test")
        assert caught.value.recoverable
        blocker.execute("ROLLBACK")
        await store.put(with_boots(sample_record(), 1), expected_generation=1, actor="test")
    blocker.close()


async def test_a_store_whose_file_was_taken_away_says_so_instead_of_writing_into_nowhere(state_dir: Path) -> None:
    async with SqliteStore(state_dir) as store:
        await store.put(sample_record(), expected_generation=0, actor="test")
        shutil.rmtree(state_dir)
        with pytest.raises(StoreUnavailable, match="moved or replaced"):
            await store.put(with_boots(sample_record(), 1), expected_generation=1, actor="test")
        with pytest.raises(StoreUnavailable, match="moved or replaced"):
            await store.get("lab")


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with SqliteStore(tmp_path / "file" / "state") as store:
        with pytest.raises(StoreUnavailable, match=r"state directory .*/file/state cannot be used") as caught:
            await store.names()
    assert "VMCLUSTER_STATE_DIR" in str(caught.value)


_FILL_THE_DISK = """
import asyncio, sys
from pathlib import Path
from reconciler.errors import StoreUnavailable
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.samples import sample_record, with_user_data

async def main(state_dir, ballast):
    async with SqliteStore(state_dir) as store:
        first = await store.put(sample_record(), expected_generation=0, actor="test")
        ballast.write_bytes(b"x")
        try:
            with ballast.open("ab") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        except OSError:
            pass
        try:
            big = with_user_data(first, {"padding": "x" * 200_000})
            await store.put(big, expected_generation=1, actor="test")
        except StoreUnavailable as error:
            print(error)
        assert await store.get("lab") == first
        ballast.unlink()
        print((await store.put(big, expected_generation=1, actor="test")).generation)

asyncio.run(main(Path(sys.argv[1]) / "state", Path(sys.argv[1]) / "ballast"))
"""


def _may_mount() -> bool:
    probe = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not _may_mount(), reason="needs a mount namespace for a small disk")
def test_a_full_disk_is_named_loses_nothing_and_passes_with_the_space(tmp_path: Path) -> None:
    mount_and_run = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mount_and_run,
            "sh",
            tmp_path,
            sys.executable,
            _FILL_THE_DISK,
        ],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message, generation = done.stdout.splitlines()
    assert f"the disk that holds {tmp_path}/state/records.sqlite is full" in message
    assert generation == "2"


def _use_in_child(sqlite_store: SqliteStore, answer: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        asyncio.new_event_loop().run_until_complete(sqlite_store.get("lab"))
        answer.put("no error")
    except InternalError as error:
        answer.put(str(error))


async def test_a_store_is_refused_in_a_forked_child(sqlite_store: SqliteStore) -> None:
    await sqlite_store.put(sample_record(), expected_generation=0, actor="test")
    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    child = fork.Process(target=_use_in_child, args=(sqlite_store, answer))
    child.start()
    child.join(10)
    assert "forked child" in answer.get()
    assert await sqlite_store.get("lab") is not None


async def test_no_descriptor_of_the_store_reaches_a_command_that_is_started(sqlite_store: SqliteStore) -> None:
    await sqlite_store.put(sample_record(), expected_generation=0, actor="test")
    listed = await asyncio.create_subprocess_exec("ls", "-l", "/proc/self/fd", stdout=subprocess.PIPE, close_fds=False)
    printed, _ = await listed.communicate()
    assert b"records.sqlite" not in printed
