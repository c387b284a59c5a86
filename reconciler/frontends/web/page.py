"""What the page is served from, and how its requests reach the use cases."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from reconciler.errors import ClusterError, ClusterNotFound, OperationTimeout, RecordUnreadable
from reconciler.frontends.browser.page_messages import Spell
from reconciler.frontends.web.access import Access
from reconciler.frontends.web.sources import Sources
from reconciler.records.stored_records import existing
from reconciler.usecases.application import UseCases
from reconciler.usecases.envelope import Envelope

T = TypeVar("T")
Work = Callable[[UseCases], Awaitable[T]]
Words = Callable[[str, str], str]
"""Spells the calls that a text about a cluster names, as the reader of the page types them."""

_ENDED = OperationTimeout("the page's server ended first", hint="`cluster_status` shows what was done")
MOST_CHANGES = 50
"""So many actions may be under way at once."""


class Page:
    """One server's page; with `allow_actions` it may change clusters."""

    def __init__(self, use: UseCases, access: Access, words: Words, *, allow_actions: bool) -> None:
        self.access = access
        self.allow_actions = allow_actions
        self.use = use
        self._words = words
        self.sources = Sources(use, self.spelled_for)
        self._settling: set[asyncio.Task[Any]] = set()

    def spelled_for(self, cluster: str) -> Spell:
        """Spells calls in texts about a cluster."""
        return partial(_spell, self._words, cluster)

    async def first_cluster(self) -> str:
        """The first cluster that is not destroyed; empty if there is none, or the store cannot be read."""
        store = self.use.runtime.store
        with suppress(ClusterError):
            for cluster in await store.names():
                with suppress(ClusterNotFound, RecordUnreadable):
                    return (await existing(store, cluster)).cluster_name
        return ""

    async def answer(self, cluster: str, work: Work[T], shown: Callable[[T], Any] = lambda result: result) -> Any:
        """The result of `work` as data, or why there is none."""
        with Envelope[T]() as envelope:
            result = await work(self.use)
            envelope.result = result
            return {"result": await asyncio.to_thread(shown, result), "error": None}
        error = envelope.error
        return {"result": None, "error": error and self._told(cluster, error)}

    async def settle(self, cluster: str, work: Work[T]) -> Any:
        """As `answer`, for what changes a cluster: it continues if the browser no longer waits."""
        task = asyncio.ensure_future(self.answer(cluster, work))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.wait({task})
        return {"result": None, "error": self._told(cluster, _ENDED)} if task.cancelled() else task.result()

    @property
    def busy(self) -> bool:
        """Whether as many actions are under way as may be."""
        return len(self._settling) >= MOST_CHANGES

    async def close(self) -> None:
        """Let all viewers go, and leave what is being done to a later round."""
        self.sources.close()
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)

    def _told(self, cluster: str, error: ClusterError) -> dict[str, Any]:
        return {"code": error.code.value, "message": self._words(str(error), cluster)}


def _spell(words: Words, cluster: str, text: str) -> str:
    return words(text, cluster)
