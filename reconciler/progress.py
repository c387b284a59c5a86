"""What a front end may show while a verb is at work."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.model.event import ClusterEvent, EventKind

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Told in words of each action that ends and of each node that is reached."""

    report: Report
    _last: dict[tuple[str, str | None], str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def event(self, event: ClusterEvent) -> None:
        """Something happened to the cluster that is waited for; what its status will say is not repeated here.

        Nor is that an action was done again on the same node, as a shutdown is asked for until it is heard.
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
    """Nobody listens."""


no_progress = Progress(_silent)
