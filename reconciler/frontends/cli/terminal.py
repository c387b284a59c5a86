"""Connects the user's terminal to a node's serial console."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

ESCAPE = b"\x1d"
"""Ctrl-], as in virsh and telnet."""

_CHUNK_BYTES = 4096
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def is_terminal() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class Keyboard:
    """What is typed, byte for byte, until the escape character, a signal or the end of the terminal.

    `signalled` is the signal that this process received meanwhile.
    """

    def __init__(self) -> None:
        self.signalled: signal.Signals | None = None
        self._keys: asyncio.Queue[bytes] = asyncio.Queue()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Send every key to the node, Ctrl-C too; the terminal is always restored afterwards."""
        descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
        before = termios.tcgetattr(descriptor)
        for number in _ENDING:
            loop.add_signal_handler(number, self._on_signal, number)
        loop.add_reader(descriptor, lambda: self._keys.put_nowait(_read(descriptor)))
        try:
            tty.setraw(descriptor, termios.TCSANOW)
            yield
        finally:
            with suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
            loop.remove_reader(descriptor)
            for number in _ENDING:
                loop.remove_signal_handler(number)

    async def typed(self) -> AsyncIterator[bytes]:
        """The keys as they are typed."""
        while data := await self._keys.get():
            before, escape, _ = data.partition(ESCAPE)
            if before:
                yield before
            if escape:
                return

    def _on_signal(self, number: signal.Signals) -> None:
        self.signalled = number
        self._keys.put_nowait(b"")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError:  # the terminal was closed
        return b""


def show_bytes(data: bytes) -> None:
    """Print output byte for byte; does nothing once the terminal is gone, which also ends the typing."""
    descriptor = sys.stdout.fileno()
    with suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]
