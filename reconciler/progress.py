"""Progress that a front end may show during an operation."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from reconciler.model.event import ClusterEvent, EventKind

Report = Callable[[str], None]
Advance = Callable[[str, str | None], None]
"""Called with what is under way, and how far it is; None once it is over."""

_FIRST_SAID_S = 3.0
_SAID_AGAIN_S = 30.0
_SHOWN_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Called with a message for each finished action and each node that becomes reachable.

    What is under way, such as a boot, is reported to `advance` where a front end has a place for it that changes, and
    otherwise as messages too.
    """

    report: Report
    advance: Advance | None = None
    _last: dict[tuple[str, str | None], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def event(self, event: ClusterEvent) -> None:
        """Report an event of the cluster, except what its status will show anyway, and repetitions of an action on the
        same node, such as shutdown requests.
        """
        if event.kind not in _ACTIONS:
            return
        what = (event.subject, event.node)
        if self._last.get(what) != event.said:
            subject = f"{event.subject} {event.node}" if event.node else event.subject
            say = self.advanced if event.kind is EventKind.ACTION_ADVANCED else self.finished
            say(subject, event.message)
        self._last[what] = event.said

    def advanced(self, what: str, how_far: str) -> None:
        """Report how far something is that goes on."""
        if self.advance is not None:
            self.advance(what, how_far)
        else:
            self.report(f"{what}: {how_far}")

    def finished(self, what: str, result: str) -> None:
        """Report that something is over, and how it ended."""
        self.over(what)
        self.report(f"{what}: {result}")

    def over(self, what: str) -> None:
        """Report no longer how far something is."""
        if self.advance is not None:
            self.advance(what, None)


@asynccontextmanager
async def said_meanwhile(told: Callable[[], str], progress: Progress) -> AsyncIterator[None]:
    """Report what is still waited for while the body waits: after 3 s, and then every 30 s.

    A front end that has a place for it shows it from the beginning, and what follows a colon as how far it is.
    """

    async def show() -> None:
        while True:
            what, _, how_far = told().partition(": ")
            shown.add(what)
            progress.advanced(what, how_far)
            await asyncio.sleep(_SHOWN_AGAIN_S)

    async def say() -> None:
        began_s = time.monotonic()
        await asyncio.sleep(_FIRST_SAID_S)
        progress.report(told())
        while True:
            await asyncio.sleep(_SAID_AGAIN_S)
            progress.report(f"{told()} (for {time.monotonic() - began_s:.0f} s)")

    shown: set[str] = set()
    task = asyncio.create_task(say() if progress.advance is None else show())
    try:
        yield
    finally:
        task.cancel()
        for what in shown:
            progress.over(what)


_ACTIONS = frozenset(
    {EventKind.ACTION_ADVANCED, EventKind.ACTION_DONE, EventKind.ACTION_FAILED, EventKind.DRIFT_REPAIRED}
)


def _silent(_message: str) -> None:
    """Ignores progress."""


no_progress = Progress(_silent)
