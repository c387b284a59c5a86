"""The lease of a host: of all stores that use the same libvirt, only one works at a time.

A store's own lease (`reconciler.store.lease`) decides which of its clients is the controller, and may be held for
hours; it is always taken first. This one is held only while a round lasts. It is a lock of the kernel's in a directory
that only users of that libvirt can enter, and it is taken in turn: the first to wait is next.
"""

import asyncio
import errno
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from platformdirs import user_runtime_path

from reconciler.errors import Conflict, HostOccupied, StoreUnavailable
from reconciler.files.exposure import require_unexposed
from reconciler.store.lease import Holder, Lease

DIRECTORY = Path("/run/vmcluster")
"""For the system's own libvirt. Another daemon's lease is beside its socket, so private daemons do not interfere."""

_LIBVIRT_SOCKETS = tuple(Path("/run/libvirt", name) for name in ("libvirt-sock", "virtqemud-sock"))
_RETRY_S = 0.01
_SHARED_MODE = 0o770


class HostLease:
    """The lease of the host of `libvirt_uri`, shared by all turns that this object gives."""

    def __init__(self, libvirt_uri: str, state_dir: Path, *, purpose: str = "controller") -> None:
        self._uri = libvirt_uri
        self._holder = Holder(os.getpid(), purpose, str(state_dir))
        self._leases: tuple[Path, _SharedLease, _SharedLease] | None = None
        self._turns = 0
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, timeout_s: float) -> AsyncIterator[None]:
        """The right to act on the host, together with other turns of this object.

        Raises `HostOccupied`, naming the other store, if that is at work after `timeout_s`, and `StoreUnavailable` if
        this user may not take the lease. If libvirt is absent, no lease is needed.
        """
        if (place := lease_directory(self._uri)) is None:
            yield
            return
        lease, gate = self._at(place)
        await self._join(lease, gate, timeout_s)
        try:
            yield
        finally:
            self._turns -= 1
            if self._turns == 0:
                lease.release()

    def other_holder(self) -> Holder | None:
        """The process of another store that works on the host now, as far as is known."""
        try:
            place = lease_directory(self._uri)
            holder = self._at(place)[0].holder() if place else None
        except (OSError, StoreUnavailable):
            return None
        return holder if holder and holder.state_dir != self._holder.state_dir else None

    def _at(self, place: Path) -> tuple["_SharedLease", "_SharedLease"]:
        if self._turns == 0 and self._waiting == 0 and (self._leases is None or self._leases[0] != place):
            lease, gate = (_SharedLease(place / name, self._holder) for name in ("host.lock", "next.lock"))
            self._leases = place, lease, gate
        assert self._leases is not None
        return self._leases[1:]

    async def _join(self, lease: "_SharedLease", gate: "_SharedLease", timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._waiting += 1
        try:
            while not self._may_join(lease, gate):
                if time.monotonic() >= deadline:
                    raise _not_free(lease, timeout_s)
                await asyncio.sleep(_RETRY_S)
            self._turns += 1
        finally:
            self._waiting -= 1
            if self._turns > 0 or self._waiting == 0:
                gate.release()

    def _may_join(self, lease: "_SharedLease", gate: "_SharedLease") -> bool:
        """Pass the gate, where others wait: overlapping turns must not keep another store out forever."""
        return gate.try_acquire() and lease.try_acquire()


def _not_free(lease: "_SharedLease", timeout_s: float) -> HostOccupied:
    return HostOccupied(
        f"this host was not free within {timeout_s:g} s: {lease.occupied()}",
        hint="wait for it or stop it, then try again; all clients of one host should share one state_dir",
    )


def lease_directory(libvirt_uri: str) -> Path | None:
    """The directory of that libvirt's lease, whatever name its socket has; None if there is no such libvirt."""
    named = _named_socket(libvirt_uri)
    if named is None:
        return _for_users_of(DIRECTORY, _LIBVIRT_SOCKETS)
    try:
        socket = Path(named).resolve(strict=True)
    except OSError:
        return None
    if socket.parent == _LIBVIRT_SOCKETS[0].parent or any(
        of.exists() and of.samefile(socket) for of in _LIBVIRT_SOCKETS
    ):
        return _for_users_of(DIRECTORY, _LIBVIRT_SOCKETS)
    return _for_users_of(socket.parent / DIRECTORY.name, (socket,))


@lru_cache(maxsize=16)
def _named_socket(libvirt_uri: str) -> str | None:
    """Read as libvirt does: of several, the last one counts (remote_driver.c, EXTRACT_URI_ARG_STR)."""
    return next(reversed(parse_qs(urlsplit(libvirt_uri).query).get("socket", [])), None)


def _for_users_of(directory: Path, sockets: tuple[Path, ...]) -> Path:
    """The directory, created if missing; if this user may not create it, one for all of the user's stores."""
    try:
        directory.mkdir(mode=0o700)
        _share(directory, sockets)
    except FileExistsError:
        return directory
    except PermissionError:
        return _of_this_user()
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error
    return directory


def _of_this_user() -> Path:
    """In the user's runtime directory, which is below /tmp if there is no other, where anybody may have made it."""
    try:
        directory = user_runtime_path(DIRECTORY.name)
        require_unexposed(directory.parent)
    except (OSError, Conflict) as error:
        raise StoreUnavailable(
            f"the lease of this host cannot be taken in this user's runtime directory: {error}",
            hint="set XDG_RUNTIME_DIR to a directory that only this user can change",
        ) from error
    return directory


def _share(directory: Path, sockets: tuple[Path, ...]) -> None:
    """Give access to everyone who may write to libvirt's socket: they can do with machines what root can."""
    for socket in filter(Path.exists, sockets):
        found = socket.stat()
        if found.st_gid != 0 and found.st_mode & stat.S_IWGRP:
            os.chown(directory, -1, found.st_gid)
            directory.chmod(_SHARED_MODE)


class _SharedLease(Lease):
    """A lease shared between users: it follows no link and writes to nothing that somebody else may have put there."""

    def __init__(self, path: Path, holder: Holder) -> None:
        super().__init__(path)
        self._holder = holder

    def _holds(self) -> Holder:
        return self._holder

    def _unusable(self, error: OSError) -> StoreUnavailable:
        return _unusable(self._path.parent, error.strerror or str(error))

    def _open(self) -> int:
        try:
            directory = _opened_directory(self._path.parent)
            try:
                return _opened_lock(self._path.name, directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._unusable(error) from error


def _opened_directory(path: Path) -> int:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(directory)
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & stat.S_IWOTH:
        os.close(directory)
        raise _unusable(path, f"user {found.st_uid} owns it with mode {stat.S_IMODE(found.st_mode):o}")
    return directory


def _opened_lock(name: str, directory: int) -> int:
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(name, flags, 0o600, dir_fd=directory)
    found, shared = os.fstat(lock), os.fstat(directory)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(lock)
        raise OSError(errno.EINVAL, f"{name} in it is not a regular file")
    if found.st_uid == os.geteuid() and found.st_gid != shared.st_gid and shared.st_mode & stat.S_IWGRP:
        os.fchown(lock, -1, shared.st_gid)
        os.fchmod(lock, 0o660)
    return lock


def _unusable(directory: Path, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the lease of this host cannot be taken in {directory}: {why}",
        hint=f"run as the user who owns it, or let root remove it (`rm -r {directory}`) while no vmcluster runs",
    )
