"""A connection of an HTTP client that has to send its requests in time, and to read what it is told.

uvicorn waits without end for a request that has begun, and for the first one, of any client: a few hundred such
connections, which need no token, would keep everybody out. It also waits without end for a client to read.
"""

import asyncio
import socket
import struct
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 60.0
"""How long one request may take to arrive; between requests uvicorn closes a connection sooner."""
READING_S = 60.0
"""How long a client may leave unread what no longer fits between it and us."""
_AT_ONCE = struct.pack("ii", 1, 0)
_ARRIVING = (h11.IDLE, h11.SEND_BODY)


class TimelyConnection(H11Protocol):
    """Closes the connection of a client whose request has not arrived in `REQUEST_S`, or that no longer reads."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READING_S, self._drop)

    def resume_writing(self) -> None:
        self._forget_unread()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._forget_unread()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state not in _ARRIVING or self.transport.is_closing():
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _drop(self) -> None:
        """Reset the connection: the kernel would go on offering what it holds, megabytes of it."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
