"""Progress that a front end may show during an operation."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from reconciler.model.event import ClusterEvent, EventKind

Report = Callable[[str], None]

_FIRST_SAID_S = 3.0
_SAID_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Called with a message for each finished action and each node that becomes reachable."""

    report: Report
    _last: dict[tuple[str, str | None], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def event(self, event: ClusterEvent) -> None:
        """Report an event of the cluster, except what its status will show anyway, and repetitions of an action on the
        same node, such as shutdown requests.
        """
        if event.kind not in _ACTIONS:
            return
        what = (event.subject, event.node)
        if self._last.get(what) != event.said:
            where = f" {event.node}" if event.node else ""
            self.report(f"{event.subject}{where}: {event.message}")
        self._last[what] = event.said


@asynccontextmanager
async def said_meanwhile(told: Callable[[], str], progress: Progress) -> AsyncIterator[None]:
    """Report what is still waited for while the body waits: after 3 s, and then every 30 s."""

    async def say() -> None:
        began_s = time.monotonic()
        await asyncio.sleep(_FIRST_SAID_S)
        progress.report(told())
        while True:
            await asyncio.sleep(_SAID_AGAIN_S)
            progress.report(f"{told()} (for {time.monotonic() - began_s:.0f} s)")

    task = asyncio.create_task(say())
    try:
        yield
    finally:
        task.cancel()


_ACTIONS = frozenset(
    {EventKind.ACTION_ADVANCED, EventKind.ACTION_DONE, EventKind.ACTION_FAILED, EventKind.DRIFT_REPAIRED}
)


def _silent(_message: str) -> None:
    """Ignores progress."""


no_progress = Progress(_silent)
