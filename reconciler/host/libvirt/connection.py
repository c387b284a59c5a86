"""The connection to libvirtd: blocking calls on a thread pool, opened again when it was lost.

libvirt-python is thread-safe and releases the interpreter lock during calls. A connection dies when libvirtd
restarts; the domains do not, so the next call opens a new one and everything is simply observed again.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import libvirt

from reconciler.errors import ClusterError, LibvirtUnavailable, OperationFailed
from reconciler.host.events import HostEvent, Listener
from reconciler.host.libvirt.events import ensure_event_loop, register

T = TypeVar("T")

_THREADS = 8

_LOST = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
)

_FLUSHED = "No chain/target/match by that name"  # iptables, of the chains that libvirt makes when it starts
_FLUSHED_HINT = "somebody has flushed the firewall and libvirt's own chains with it: restart libvirtd, which makes them"


class Connection:
    """One connection to a libvirt URI, shared by all threads of the pool."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._handle: Any = None
        self._listeners: tuple[Listener, ...] = ()
        self._opening = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="libvirt")
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised; nothing to stderr

    async def call(self, function: Callable[[Any], T]) -> T:
        """Run `function(virConnect)` on the pool.

        Raises `LibvirtUnavailable` when libvirtd does not answer and `OperationFailed` when it refuses. A call
        that met a connection lost since the last one is made once more on a fresh one.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, function)

    async def follow(self, listener: Listener) -> None:
        """Tell `listener` of what happens on the host, on this connection and on those that follow it.

        Raises `LibvirtUnavailable` where libvirtd is away; it is then registered when it is back.
        """
        ensure_event_loop()
        self._listeners += (listener,)
        with self._opening:
            self._discard()
        await self.call(lambda handle: handle.isAlive())

    def close(self) -> None:
        """Close the connection; a later call opens it again."""
        with self._opening:
            self._discard()
        self._pool.shutdown(wait=False)

    def _call(self, function: Callable[[Any], T]) -> T:
        handle = self._open()
        try:
            return function(handle)
        except libvirt.libvirtError as error:
            if not self._was_lost(handle, error):
                raise as_cluster_error(error) from error
        self._forget(handle)
        try:
            return function(self._open())
        except libvirt.libvirtError as error:
            raise as_cluster_error(error) from error

    def _open(self) -> Any:
        with self._opening:
            if self._handle is None:
                self._handle = self._connect()
            return self._handle

    def _connect(self) -> Any:
        try:
            handle = libvirt.open(self._uri)
            if self._listeners:
                register(handle, self._tell)
            return handle
        except libvirt.libvirtError as error:
            raise LibvirtUnavailable(
                f"no answer from libvirt at {self._uri}: {error.get_error_message()}",
                hint="start it (`systemctl start libvirtd`, or `libvirtd -d` without a service manager); "
                "`vmcluster doctor` tells more",
            ) from error

    def _tell(self, event: HostEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def _was_lost(self, handle: Any, error: libvirt.libvirtError) -> bool:
        if error.get_error_code() not in _LOST:
            return False
        try:
            return not handle.isAlive() or handle.getLibVersion() == 0
        except libvirt.libvirtError:
            return True

    def _forget(self, handle: Any) -> None:
        with self._opening:
            if self._handle is handle:
                self._discard()

    def _discard(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            handle.close()
        except libvirt.libvirtError:
            return  # a lost connection cannot be closed; the object goes with its last reference


def as_cluster_error(error: libvirt.libvirtError, *, node: str | None = None) -> ClusterError:
    """A refusal by libvirt in our terms."""
    if error.get_error_code() in {libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC}:
        return LibvirtUnavailable(f"the connection to libvirt was lost: {error.get_error_message()}", node=node)
    message = error.get_error_message()
    hint = _FLUSHED_HINT if _FLUSHED in message else None
    return OperationFailed(f"libvirt refused: {message}", node=node, hint=hint)
