"""One observation of the host for all that request it at the same time, as every cluster does at a resync."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedObservation(Generic[T]):
    """An observation shared by all who request it before it begins; later requests get a later one.

    So no answer is older than its request. An error is shared, too.
    """

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._latest: asyncio.Task[T] | None = None
        self._to_come: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The result of the observation. A caller that stops waiting does not end it for the others."""
        if self._to_come is None or self._to_come.done():
            self._to_come = asyncio.create_task(self._look_after(self._latest))
        return await asyncio.shield(self._to_come)

    async def _look_after(self, latest: asyncio.Task[T] | None) -> T:
        if latest is not None and not latest.done():
            await asyncio.wait([latest])
        self._latest, self._to_come = self._to_come, None
        return await self._look()
