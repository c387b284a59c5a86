"""A node's serial line, in both directions, as a libvirt stream.

It has its own connection: libvirt's event loop reports on streams and must run before a connection is opened, and
closing this connection affects nobody else.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import libvirt

from reconciler.errors import ClusterError, Conflict, OperationFailed
from reconciler.host.libvirt.libvirt_connection import as_cluster_error
from reconciler.host.libvirt.libvirt_events import ensure_event_loop
from reconciler.host.libvirt.lookup import our_domain

_CHUNK_BYTES = 64 * 1024
_WOULD_BLOCK = -2
_RETRY_S = 0.01
_NO_LOCK = "create lock file"
_READABLE = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR


class SerialLine:
    """An open line. Output is passed to `on_output` in the event loop that opened it, until `ended` is set."""

    def __init__(self, handle: Any, stream: Any, on_output: Callable[[bytes], None]) -> None:
        self.ended = asyncio.Event()
        self._handle = handle
        self._stream = stream
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, uri: str, cluster: str, node: str, on_output: Callable[[bytes], None], *, force: bool) -> Self:
        """Open the line. Raises `Conflict` if it is in use, unless `force` disconnects the other user."""
        handle, stream = await asyncio.to_thread(_open, uri, cluster, node, force=force)
        line = cls(handle, stream, on_output)
        await asyncio.to_thread(stream.eventAddCallback, _READABLE, line._on_event, None)
        return line

    async def write(self, data: bytes) -> None:
        """Send input to the line. Input to a line that has ended is lost."""
        while data and not self.ended.is_set():
            try:
                sent = await asyncio.to_thread(self._stream.send, data)
            except libvirt.libvirtError:
                self.ended.set()
                return
            if sent == _WOULD_BLOCK:
                await asyncio.sleep(_RETRY_S)
            else:
                data = data[sent:]

    async def close(self) -> None:
        """Leave the line; the machine keeps running."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for step in (self._stream.eventRemoveCallback, self._stream.abort, self._handle.close):
            with suppress(libvirt.libvirtError):  # the line, or all of libvirtd, has ended already
                step()

    def _on_event(self, stream: Any, _events: int, _opaque: None) -> None:
        """Called on libvirt's thread."""
        try:
            data = stream.recv(_CHUNK_BYTES)
        except libvirt.libvirtError:
            data = b""
        if data == _WOULD_BLOCK:
            return
        if not data:
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
        with suppress(RuntimeError):  # the loop has ended, and with it the listener
            self._loop.call_soon_threadsafe(self._hand_over, data)

    def _hand_over(self, data: bytes) -> None:
        if data:
            self._on_output(data)
        else:
            self.ended.set()


def _open(uri: str, cluster: str, node: str, *, force: bool) -> tuple[Any, Any]:
    ensure_event_loop()
    handle = None
    try:
        handle = libvirt.open(uri)
        domain = our_domain(handle, cluster, node)
        stream = handle.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE)
    except (libvirt.libvirtError, ClusterError) as error:
        if handle is not None:
            handle.close()
        raise _refused(error, node) if isinstance(error, libvirt.libvirtError) else error from error
    return handle, stream


def _refused(error: libvirt.libvirtError, node: str) -> ClusterError:
    if "Active console session" in error.get_error_message():
        return Conflict("somebody else is using the node's serial line", node=node, hint="`force` disconnects them")
    if _NO_LOCK in error.get_error_message():
        hint = "create the directory /var/lock, in which libvirt locks serial lines"
        return OperationFailed(error.get_error_message(), node=node, hint=hint)
    return as_cluster_error(error, node=node)
