"""Relays progress from the use cases, which report without waiting, to the client, which takes it when it can."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

HEARTBEAT_S = 10.0
"""The longest silence during a call. Clients give up after about a minute of silence."""

Send = Callable[[float, float | None, str], Awaitable[None]]
"""Sends a step (it only grows), a total (unknown) and a message."""


@asynccontextmanager
async def sending_progress(send: Send, *, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[Callable[[str], None]]:
    """Send what is reported, in order, and a heartbeat after each silence of `heartbeat_s`.

    Everything that was reported has been sent when the block ends.
    """
    words: asyncio.Queue[str | None] = asyncio.Queue()
    sender = asyncio.create_task(_send_all(words, send, heartbeat_s))
    try:
        yield words.put_nowait
    finally:
        words.put_nowait(None)
        await sender


async def _send_all(words: "asyncio.Queue[str | None]", send: Send, heartbeat_s: float) -> None:
    began, step = time.monotonic(), 0
    while (message := await _next(words, heartbeat_s, began)) is not None:
        step += 1
        await send(float(step), None, message)


async def _next(words: "asyncio.Queue[str | None]", heartbeat_s: float, began: float) -> str | None:
    try:
        return await asyncio.wait_for(words.get(), heartbeat_s)
    except TimeoutError:
        return f"still working after {time.monotonic() - began:.0f} s"
