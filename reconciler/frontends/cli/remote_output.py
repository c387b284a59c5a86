"""Passes a remote command's output to this process's own streams, byte for byte as it arrives."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, TextIO, TypeVar

from reconciler.frontends.cli.output import silence_stdout

T = TypeVar("T")


class Outlet:
    """Writes no faster than the readers read. When a reader goes away, the command is ended."""

    def __init__(self) -> None:
        self._running: asyncio.Future[Any] | None = None
        self._closed = False
        self.trouble: OSError | None = None
        """Why the output cannot be written, where somebody still wants it."""

    async def passing(self, running: Awaitable[T]) -> T | None:
        """Await a command whose output goes through here; None when the output could go no further."""
        task = asyncio.ensure_future(running)
        self._running = task
        try:
            return await task
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return None

    def on_stdout(self, data: bytes) -> None:
        """Write to standard output."""
        self._write(sys.stdout, data)

    def on_stderr(self, data: bytes) -> None:
        """Write to standard error."""
        self._write(sys.stderr, data)

    def _write(self, stream: TextIO, data: bytes) -> None:
        if self._closed:
            return
        try:
            write_bytes(stream, data)
        except OSError as error:
            self._closed = True
            self.trouble = None if isinstance(error, BrokenPipeError) else error
            silence_stdout()
            if self._running is not None:
                self._running.cancel()


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Write bytes to the file below a text stream."""
    stream.buffer.write(data)
    stream.buffer.flush()
