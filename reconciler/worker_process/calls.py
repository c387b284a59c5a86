"""The one way to run work that may take long and holds the interpreter's lock, such as parsing in Python."""

import asyncio
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

from reconciler.process import run
from reconciler.worker_process.child import CPU_LIMIT_S

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BYTES = 512 * 1024
"""Larger inputs cost more than the start of a process, which takes about 0.2 s of CPU."""
_TEXTS_AT_ONCE = 4
_TIMEOUT_S = 10.0 * CPU_LIMIT_S
_PROGRAM = (sys.executable, "-P", "-m", "reconciler.worker_process.child")


async def in_worker(size_bytes: int, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """The result or error of a function that works on `size_bytes` of input; the event loop keeps running meanwhile.

    The function, its arguments and its result must be picklable; it is pure, and its result is small. Only a
    `ClusterError` is passed on from another process; any other failure of that process is a `HostCommandFailed`.
    """
    work = partial(function, *arguments, **options)
    if size_bytes <= LARGE_BYTES:
        return await _in_lane(work)
    (answer,) = await _in_process(work)
    found: T = answer
    return found


async def in_worker_in_parts(
    size_bytes: int, function: Callable[P, Iterator[T]], *arguments: P.args, **options: P.kwargs
) -> list[T]:
    """The same for a generator whose values are small, however many they are."""
    work = partial(function, *arguments, **options)
    if size_bytes <= LARGE_BYTES:
        return await _in_lane(lambda: list(work()))
    return await _in_process(work)


async def _in_lane(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_lane(loop), work)


async def _in_process(work: Callable[[], Any]) -> list[Any]:
    async with _turns(asyncio.get_running_loop()):
        question = pickle.dumps(work, pickle.HIGHEST_PROTOCOL)
        done = await run(_PROGRAM, stdin=question, timeout_s=_TIMEOUT_S)
        return await asyncio.to_thread(_parts, done.stdout)


def _parts(answer: bytes) -> list[Any]:
    stream, parts = BytesIO(answer), []
    while stream.tell() < len(answer):
        well, part = pickle.load(stream)  # noqa: S301  of a process of our own, which runs this very program
        if not well:
            raise part
        parts.append(part)
    return parts


def in_memory() -> asyncio.Semaphore:
    """Held while a guest's long text is in memory, so that many guests do not fill it together."""
    return _held(asyncio.get_running_loop())


@lru_cache(maxsize=2)
def _held(_loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    return asyncio.Semaphore(_TEXTS_AT_ONCE)


@lru_cache(maxsize=2)
def _lane(_loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    """One thread for all small work: several busy threads would each make the event loop wait for its turn.

    Each event loop has its own, as a thread does not survive a fork.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="worker")


@lru_cache(maxsize=2)
def _turns(_loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    """One per processor, so that no more input is in memory at once than is worked on."""
    return asyncio.Semaphore(os.cpu_count() or 1)
