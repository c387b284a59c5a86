"""Following the demands of a store that is polled: all are read again at each change."""

from collections.abc import Mapping
from typing import Protocol

from reconciler.store.protocol import ChangeWaiter, Demand

_LONG_S = 3600.0


class _Source(Protocol):
    async def demands(self) -> dict[str, Demand]: ...

    async def watch(self) -> ChangeWaiter: ...


class PolledDemands:
    """`reconciler.store.protocol.DemandWatch` on a store whose demands are cheap to read."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._waiter: ChangeWaiter | None = None
        self._is_read = False

    async def next(self) -> Mapping[str, Demand]:
        self._waiter = self._waiter or await self._source.watch()
        was_read, self._is_read = self._is_read, False
        if was_read:
            await self._waiter.wait(timeout_s=_LONG_S)
        demands = await self._source.demands()
        self._is_read = True
        return demands
