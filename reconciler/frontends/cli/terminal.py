"""The person's terminal, handed to a node's serial line as it is."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

ESCAPE = b"\x1d"
"""Ctrl-], as virsh and telnet have it."""

_CHUNK_BYTES = 4096


def is_terminal() -> bool:
    """Whether somebody types here and sees what comes."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Every key goes to the node, Ctrl-C too; afterwards the terminal is as it was."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def typed_keys() -> AsyncIterator[bytes]:
    """What is typed, until the escape character or the end of the terminal."""
    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    keys: asyncio.Queue[bytes] = asyncio.Queue()
    loop.add_reader(descriptor, lambda: keys.put_nowait(_read(descriptor)))
    try:
        while data := await keys.get():
            before, escape, _ = data.partition(ESCAPE)
            if before:
                yield before
            if escape:
                return
    finally:
        loop.remove_reader(descriptor)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError:  # the terminal was closed
        return b""


def show_bytes(data: bytes) -> None:
    """Show what came, byte for byte."""
    descriptor = sys.stdout.fileno()
    while data:
        data = data[os.write(descriptor, data) :]
