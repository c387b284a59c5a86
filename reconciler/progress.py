"""Progress that a front end may show during an operation."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.model.event import ClusterEvent, EventKind

Report = Callable[[str], None]


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


_ACTIONS = frozenset(
    {EventKind.ACTION_ADVANCED, EventKind.ACTION_DONE, EventKind.ACTION_FAILED, EventKind.DRIFT_REPAIRED}
)


def _silent(_message: str) -> None:
    """Ignores progress."""


no_progress = Progress(_silent)
