"""The lease of the one controller: an exclusive `flock`, which the kernel releases when its holder dies."""

import asyncio
import errno
import fcntl
import json
import os
import time
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.errors import OperationTimeout, StoreUnavailable
from reconciler.files.locks import still_has_name
from reconciler.files.plain import open_plain
from reconciler.store.state_dir import directory_unusable, ensure_state_dir

FILE_NAME = "controller.lock"
SERVICE = "vmcluster watch"
"""What the service says it is where it holds a lease."""
_RETRY_S = 0.025
_HOLDER_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """The last process that took the lease: only for messages, as a killed holder leaves its name behind."""

    process_id: int
    purpose: str
    state_dir: str = ""

    def __str__(self) -> str:
        whose = f" of the store in {self.state_dir}" if self.state_dir else ""
        return f"process {self.process_id} ({self.purpose}){whose}"


class Lease:
    """Exclusive among all `Lease` objects on one path, in this process and others; not reentrant.

    `async with` waits at most `timeout_s`. Only the holder may remove the lease's file, and a file that has lost its
    name is no lease: otherwise two holders could lock two files of the same name.
    """

    def __init__(self, path: Path, *, purpose: str = "controller", timeout_s: float = 30.0) -> None:
        self._path = path
        self._purpose = purpose
        self._timeout_s = timeout_s
        self._descriptor: int | None = None
        _all_leases.add(self)

    @property
    def held(self) -> bool:
        """Whether this object holds the lease."""
        return self._descriptor is not None

    def try_acquire(self) -> bool:
        """Take the lease if it is free, without waiting; also True if this object already holds it."""
        if self._descriptor is not None:
            return True
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_holder(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EWOULDBLOCK:
                return False
            raise self._unusable(error) from error
        if not still_has_name(descriptor, self._path):
            os.close(descriptor)
            return self.try_acquire()
        self._descriptor = descriptor
        return True

    async def acquire(self, timeout_s: float) -> None:
        """Take the lease as soon as it is free; raises `OperationTimeout`, naming the holder, after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not self.try_acquire():
            if time.monotonic() >= deadline:
                raise OperationTimeout(f"the lease {self._path} was not free within {timeout_s:g} s: {self.occupied()}")
            await asyncio.sleep(_RETRY_S)

    def release(self, *, remove: bool = False) -> None:
        """Release the lease, and with `remove` delete its file; does nothing if it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.ftruncate(descriptor, 0)
                if remove:
                    self._path.unlink(missing_ok=True)
            finally:
                # Closing alone would leave the lock to a forked child that has not closed its copy yet.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)

    def holder(self) -> Holder | None:
        """The process that took the lease and has not released it; None if there is none."""
        try:
            with open_plain(self._path) as file:
                return Holder(**json.loads(file.read(_HOLDER_MAX_BYTES)))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def occupied(self) -> str:
        """The holder of the lease, as text."""
        holder = self.holder()
        return f"{holder or 'another process'} holds it"

    async def __aenter__(self) -> Self:
        await self.acquire(self._timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open(self) -> int:
        ensure_state_dir(self._path.parent)
        try:
            return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StoreUnavailable:
        return directory_unusable(self._path.parent, error)

    def _holds(self) -> Holder:
        """This process as the holder."""
        return Holder(os.getpid(), self._purpose)

    def _write_holder(self, descriptor: int) -> None:
        holder = json.dumps(asdict(self._holds())).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder[:_HOLDER_MAX_BYTES], 0)

    def forget_in_child(self) -> None:
        """Close a forked child's copy of the descriptor, which would keep the lock after its holder is gone."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


_all_leases: "weakref.WeakSet[Lease]" = weakref.WeakSet()


def _forget_leases_in_child() -> None:
    for lease in list(_all_leases):
        lease.forget_in_child()


os.register_at_fork(after_in_child=_forget_leases_in_child)
