"""What a front end may show while a verb is at work."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model.event import ClusterEvent, EventKind

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Told in words of each action that ends and of each node that is reached."""

    report: Report

    def event(self, event: ClusterEvent) -> None:
        """Something happened to the cluster that is waited for; what its status will say is not repeated here."""
        if event.kind in _ACTIONS:
            where = f" {event.node}" if event.node else ""
            self.report(f"{event.subject}{where}: {event.message}")


_ACTIONS = frozenset(
    {EventKind.ACTION_ADVANCED, EventKind.ACTION_DONE, EventKind.ACTION_FAILED, EventKind.DRIFT_REPAIRED}
)


def _silent(_message: str) -> None:
    """Nobody listens."""


no_progress = Progress(_silent)
