import asyncio
import fcntl
import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import OperationTimeout, StoreUnavailable
from reconciler.store.lease import Holder, Lease
from tests.unit.store.conftest import Spawn
from tests.waiting import PATIENCE_S


@pytest.fixture
def path(state_dir: Path) -> Path:
    return state_dir / "controller.lock"


def test_two_leases_of_one_process_exclude_each_other(path: Path) -> None:
    first, second = Lease(path), Lease(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    assert first.held
    assert not second.held
    first.release()
    assert second.try_acquire()
    second.release()


def test_taking_a_lease_twice_is_taking_it_once(path: Path) -> None:
    lease = Lease(path)
    assert lease.try_acquire()
    assert lease.try_acquire()
    lease.release()
    lease.release()
    assert Lease(path).try_acquire()


def test_the_holder_is_named_while_it_holds(path: Path) -> None:
    lease = Lease(path, purpose="vmcluster watch")
    assert lease.holder() is None
    lease.try_acquire()
    assert Lease(path).holder() == Holder(os.getpid(), "vmcluster watch")
    lease.release()
    assert lease.holder() is None


async def test_waiting_ends_when_the_holder_releases(path: Path) -> None:
    first, second = Lease(path), Lease(path)
    first.try_acquire()
    waiter = asyncio.create_task(second.acquire(PATIENCE_S))
    await asyncio.sleep(0.1)
    assert not waiter.done()
    first.release()
    await waiter
    assert second.held
    second.release()


async def test_waiting_in_vain_names_the_holder(path: Path) -> None:
    first = Lease(path, purpose="vmcluster watch")
    first.try_acquire()
    with pytest.raises(OperationTimeout, match=rf"process {os.getpid()} \(vmcluster watch\) holds it"):
        await Lease(path).acquire(0.1)
    first.release()


async def test_a_context_holds_and_releases(path: Path) -> None:
    async with Lease(path, timeout_s=1) as lease:
        assert lease.held
        assert not Lease(path).try_acquire()
    assert not lease.held
    assert Lease(path).try_acquire()


async def test_a_cancelled_wait_holds_nothing(path: Path) -> None:
    first, second = Lease(path), Lease(path)
    first.try_acquire()
    waiter = asyncio.create_task(second.acquire(PATIENCE_S))
    await asyncio.sleep(0.1)
    waiter.cancel()
    await asyncio.wait({waiter})
    first.release()
    assert not second.held
    assert first.try_acquire()
    first.release()


async def test_a_killed_holder_gives_the_lease_back(path: Path, spawn_in_state_dir: Spawn) -> None:
    client = await spawn_in_state_dir("hold_lease")
    assert client.stdout is not None
    assert await client.stdout.readline() == b"held\n"
    lease = Lease(path)
    assert not lease.try_acquire()
    assert lease.holder() == Holder(client.pid, "a test")
    client.kill()
    await client.wait()
    assert lease.try_acquire()
    assert lease.holder() == Holder(os.getpid(), "controller")
    lease.release()


async def test_a_command_started_by_the_holder_does_not_keep_the_lease(path: Path) -> None:
    lease = Lease(path)
    lease.try_acquire()
    command = await asyncio.create_subprocess_exec("sleep", "30", close_fds=False, stdin=subprocess.DEVNULL)
    lease.release()
    assert Lease(path).try_acquire()
    command.kill()
    await command.wait()


def test_a_forked_child_does_not_keep_the_lease(path: Path) -> None:
    lease = Lease(path)
    lease.try_acquire()
    fork = multiprocessing.get_context("fork")
    asleep = fork.Event()
    child = fork.Process(target=asleep.wait, args=(30,))
    child.start()
    assert lease.held
    assert not Lease(path).try_acquire()
    lease.release()
    assert Lease(path).try_acquire()
    asleep.set()
    child.join()


def test_the_lock_file_is_for_its_owner_alone_and_stays(path: Path) -> None:
    lease = Lease(path)
    lease.try_acquire()
    lease.release()
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700


def test_a_lease_on_a_file_that_was_removed_meanwhile_is_taken_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, before = fcntl.flock, Lease(path)
    before.try_acquire()

    def flock_too_late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        before.release(remove=True)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    late = Lease(path)
    assert late.try_acquire()
    assert not Lease(path).try_acquire()
    late.release(remove=True)
    assert not path.exists()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="/file/state cannot be used"):
        Lease(tmp_path / "file" / "state" / "controller.lock").try_acquire()


@pytest.mark.parametrize("content", ["", "nonsense", "{}", '{"process_id": 1}', "[]"])
def test_an_unreadable_holder_is_unknown(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert Lease(path).holder() is None
