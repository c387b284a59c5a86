"""What is between a page and its server, and can die without a word to either, as when a laptop sleeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

_LOOPBACK = "127.0.0.1"


class Wire:
    """Passes on what is sent to another port of the loopback interface."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._ends: list[_End] = []
        self.url = ""

    async def lay(self, port: int = 0) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._near, _LOOPBACK, port)
        self.url = f"http://{_LOOPBACK}:{self._server.sockets[0].getsockname()[1]}/"

    def die(self) -> None:
        """Pass on nothing, and close no connection; accept no other."""
        assert self._server
        self._server.close()
        for end in self._ends:
            end.dead = True

    def reset(self) -> None:
        """End all connections."""
        for end in self._ends:
            end.abort()
        self._ends.clear()

    async def replace(self) -> None:
        """Reset the dead connections, and accept others."""
        self.reset()
        await self.lay(urlsplit(self.url).port or 0)

    def _near(self) -> "_End":
        near, far = _End(), _End()
        near.other, far.other = far, near
        self._ends += [near, far]
        near.reach = lambda: asyncio.get_running_loop().create_connection(lambda: far, _LOOPBACK, self._port)
        return near


class _End(asyncio.Protocol):
    """One end of a connection. What comes before the other end is there is kept for it."""

    other: "_End"
    reach: Any = None
    dead = False

    def __init__(self) -> None:
        self._transport: Any = None
        self._early = b""
        self._reaching: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.send(b"")
        if self.reach is not None:
            self._reaching = asyncio.ensure_future(self.reach())

    def data_received(self, data: bytes) -> None:
        if not self.dead:
            self.other.send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.dead:
            self.other.abort()

    def send(self, data: bytes) -> None:
        self._early += data
        if self._transport is not None:
            self._transport.write(self._early)
            self._early = b""

    def abort(self) -> None:
        self.dead = True
        if self._reaching is not None:
            self._reaching.cancel()
        if self._transport is not None:
            self._transport.abort()


@asynccontextmanager
async def laid_wire(url: str) -> AsyncIterator[Wire]:
    """A wire to the server of a URL."""
    wire = Wire(urlsplit(url).port or 0)
    await wire.lay()
    try:
        yield wire
    finally:
        wire.die()
        wire.reset()
