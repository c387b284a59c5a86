"""A remote command's output on this process's own streams: byte for byte, as it comes."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, TextIO, TypeVar

from reconciler.frontends.cli.output import silence_stdout

T = TypeVar("T")


class Outlet:
    """Writes as fast as the readers take it, and as slowly. When one goes away, the command is ended."""

    def __init__(self) -> None:
        self._running: asyncio.Future[Any] | None = None
        self._closed = False

    async def passing(self, running: Awaitable[T]) -> T | None:
        """The result of a command whose output goes through here; None where nobody reads it any more."""
        task = asyncio.ensure_future(running)
        self._running = task
        try:
            return await task
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return None

    def on_stdout(self, data: bytes) -> None:
        """Pass standard output on."""
        self._write(sys.stdout, data)

    def on_stderr(self, data: bytes) -> None:
        """Pass standard error on."""
        self._write(sys.stderr, data)

    def _write(self, stream: TextIO, data: bytes) -> None:
        if self._closed:
            return
        try:
            write_bytes(stream, data)
        except BrokenPipeError:
            self._closed = True
            silence_stdout()
            if self._running is not None:
                self._running.cancel()


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Write to a text stream's file."""
    stream.buffer.write(data)
    stream.buffer.flush()
