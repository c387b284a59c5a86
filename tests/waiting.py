"""How tests wait: for a state, for as long as a slow and busy machine may take. No test sleeps for a fixed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_S = 60.0
"""Long after everything that takes a moment on a machine of its own; what never comes costs a failing test this."""

BOOT_TIMEOUT_S = 900.0
"""Time for emulated machines to boot, however many boot beside them on two busy cores; they take a minute alone."""

_POLL_S = 0.01


def wait_until(holds: Callable[[], bool], *, timeout_s: float = PATIENCE_S) -> float:
    """Wait for something about the world to hold, and say how many seconds it took."""
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < timeout_s, f"it did not come to hold within {timeout_s:g} s"
        time.sleep(_POLL_S)
    return time.monotonic() - started_s


async def eventually(holds: Callable[[], bool | Awaitable[bool]], *, timeout_s: float = PATIENCE_S) -> float:
    """As `wait_until`, while the event loop goes on."""
    started_s = time.monotonic()
    while not await _answer(holds):
        assert time.monotonic() - started_s < timeout_s, f"it did not come to hold within {timeout_s:g} s"
        await asyncio.sleep(_POLL_S)
    return time.monotonic() - started_s


async def _answer(holds: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = holds()
    return answer if isinstance(answer, bool) else await answer
