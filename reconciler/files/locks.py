"""Locks between processes: `flock` on files that still have their name."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from reconciler.errors import OperationTimeout
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.exposure import make_unexposed

_RETRY_S = 0.05


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False, timeout_s: float = 600.0) -> AsyncIterator[None]:
    """Hold a `flock` on a lock file, which `remove_lock` may delete; exclusively, or `shared` with others.

    Raises `OperationTimeout` if others hold it for longer than `timeout_s`.
    """
    descriptor = await _lock(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout_s)
    try:
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file or directory if nobody else has; the lock is held until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def still_has_name(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name; if it is not, a lock on it is worthless."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_lock(path: Path) -> None:
    """Delete a lock file unless it is held; taking a lock includes checking that its file still has its name."""
    with reporting_os_errors(path), suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if try_lock(descriptor) and still_has_name(descriptor, path):
                path.unlink()
        finally:
            os.close(descriptor)


async def _lock(path: Path, operation: int, timeout_s: float) -> int:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while (descriptor := _locked_now(path, operation)) is None:
        if asyncio.get_running_loop().time() >= deadline:
            raise OperationTimeout(f"another process held {path} for {timeout_s:g} s", hint="try again")
        await asyncio.sleep(_RETRY_S)
    return descriptor


def _locked_now(path: Path, operation: int) -> int | None:
    """The open file, locked; None if others hold it, or it was removed meanwhile."""
    with reporting_os_errors(path):
        make_unexposed(path.parent, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
    if still_has_name(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None
