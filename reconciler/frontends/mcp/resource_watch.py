"""Who is told of which changed resources: what a client has not taken yet waits once, however often it changed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from reconciler.frontends.mcp.caller import Caller
from reconciler.model.viewed import Viewed

if TYPE_CHECKING:
    from reconciler.frontends.mcp.tool_usecases import ToolService
    from reconciler.usecases.application import UseCases
    from reconciler.usecases.view_changes import ViewChanges

MOST_RESOURCES = 100
MOST_SUBSCRIPTIONS = 100
_AFTER_ERROR_S = 5.0
_CALLER = Caller(tool="subscribe", cluster=None, actor="mcp:reader")


class Subscription:
    """The resources that one client follows, by URI, and which of them have changed since it last took them."""

    def __init__(self) -> None:
        self.viewed: dict[str, Viewed] = {}
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def announce(self, changed: frozenset[Viewed]) -> None:
        """Note the resources that show one of these."""
        self._changed |= dict.fromkeys(uri for uri, of in self.viewed.items() if of in changed)
        if self._changed:
            self._news.set()

    async def next(self) -> list[str]:
        """The resources that have changed, as soon as there are some."""
        await self._news.wait()
        self._news.clear()
        changed, self._changed = [uri for uri in self._changed if uri in self.viewed], {}
        return changed


class ResourceWatch:
    """The subscriptions of one server. The store is watched while there are any, and for all of them once."""

    def __init__(self, host: Callable[[], Awaitable["ToolService"]]) -> None:
        self.of_connection: Subscription | None = None
        """What the client of a kept connection subscribed to before revision 2026-07-28."""
        self._host = host
        self._open: dict[Subscription, None] = {}
        self._changes: ViewChanges | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None

    def open(self) -> Subscription:
        """A subscription to nothing yet; to be closed with `end`. Raises `MCPError` if there are too many."""
        if len(self._open) >= MOST_SUBSCRIPTIONS:
            raise MCPError(INVALID_PARAMS, f"this server has {MOST_SUBSCRIPTIONS} subscriptions already: end one")
        subscription = Subscription()
        self._open[subscription] = None
        return subscription

    async def add(self, subscription: Subscription, viewed: Mapping[str, Viewed]) -> None:
        """Follow more resources: what changes after this returned is announced. Raises `MCPError`."""
        if len(subscription.viewed | dict(viewed)) > MOST_RESOURCES:
            raise MCPError(INVALID_PARAMS, f"at most {MOST_RESOURCES} resources can be followed at once")
        subscription.viewed |= viewed
        host = await self._host()
        answer = await host.answer(lambda use: self._begin(use, viewed), _CALLER, lambda _: None)
        if answer.error is not None:
            raise MCPError(INTERNAL_ERROR, f"{answer.error.code}: {answer.error.message}")

    def remove(self, subscription: Subscription, uri: str) -> None:
        """No longer follow a resource."""
        subscription.viewed.pop(uri, None)
        self._forget_unviewed()

    def end(self, subscription: Subscription) -> None:
        """No longer follow anything."""
        self._open.pop(subscription, None)
        self._forget_unviewed()
        if not self._open and self._following is not None:
            self._following.cancel()
            self._following = self._changes = None

    def keep(self, work: Awaitable[None]) -> None:
        """Let something run for as long as the server does."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End everything that runs."""
        tasks = [*self._tasks, *([self._following] if self._following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, use: "UseCases", viewed: Mapping[str, Viewed]) -> None:
        from reconciler.usecases.view_changes import ViewChanges  # noqa: PLC0415

        if self._changes is None:
            self._changes = await ViewChanges.of(use.runtime)
        await self._changes.add(viewed.values())
        if self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Announce changes; while the store is away, its error is in the log."""
        host = await self._host()
        while True:
            await host.answer(self._announce, _CALLER, lambda _: None)
            await asyncio.sleep(_AFTER_ERROR_S)

    async def _announce(self, _: "UseCases") -> None:
        while self._changes is not None:
            changed = await self._changes.next()
            for subscription in self._open:
                subscription.announce(changed)

    def _forget_unviewed(self) -> None:
        if self._changes is not None:
            self._changes.keep_only({of for one in self._open for of in one.viewed.values()})
