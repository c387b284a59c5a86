"""A connection of an HTTP client that has to send its requests in time.

uvicorn waits without end for a request that has begun, and for the first one, of any client: a few hundred such
connections, which need no token, would keep everybody out.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 60.0
"""How long one request may take to arrive; between requests uvicorn closes a connection sooner."""
_ARRIVING = (h11.IDLE, h11.SEND_BODY)


class TimelyConnection(H11Protocol):
    """Closes the connection of a client whose request has not arrived in `REQUEST_S`."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
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
