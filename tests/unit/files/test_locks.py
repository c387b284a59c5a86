"""Locks between processes, and files of locks that are taken away."""

import fcntl
from pathlib import Path

import pytest

from reconciler.errors import OperationTimeout
from reconciler.files.locks import locked, remove_lock


async def test_a_lock_that_is_held_is_not_removed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    async with locked(lock):
        remove_lock(lock)
        assert lock.exists()
        with pytest.raises(OperationTimeout):
            async with locked(lock, timeout_s=0):
                pass
    remove_lock(lock)
    assert not lock.exists()
    remove_lock(lock)


async def test_a_lock_on_a_file_that_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, flock = tmp_path / "lock", fcntl.flock

    def flock_too_late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        remove_lock(lock)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    async with locked(lock, timeout_s=5):
        with pytest.raises(OperationTimeout):
            async with locked(lock, timeout_s=0):
                pass
