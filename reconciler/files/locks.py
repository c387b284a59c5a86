"""Locks between processes: `flock` on files that still have their name."""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
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


@contextmanager
def living_file(path: Path, content: bytes) -> Iterator[None]:
    """Have a file during a block, locked before it gets its name. If the process dies, the file stays, unlocked."""
    with reporting_os_errors(path):
        make_unexposed(path.parent, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            with reporting_os_errors(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                file.write(content)
                Path(temporary).replace(path)
            yield
        finally:
            with suppress(OSError):
                if still_has_name(descriptor, path):
                    path.unlink()
            Path(temporary).unlink(missing_ok=True)


def is_living(descriptor: int) -> bool:
    """Whether an open file is locked by the process that made it, with `living_file`."""
    return not _locks(descriptor, fcntl.LOCK_SH)  # shared: two that look at once are no such process


def try_lock(descriptor: int) -> bool:
    """Lock an open file or directory if nobody else has; the lock is held until it is closed."""
    return _locks(descriptor, fcntl.LOCK_EX)


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


def _locks(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
        if not _locks(descriptor, operation):
            os.close(descriptor)
            return None
    if still_has_name(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None
