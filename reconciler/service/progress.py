"""What a front end may show while a verb is at work."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.act.outcome import Outcome

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Told in words of each action that ends and of each node that is reached."""

    report: Report

    def outcome(self, outcome: Outcome) -> None:
        """One action ended."""
        where = f" {outcome.action.node}" if outcome.action.node else ""
        state = f"failed: {outcome.error}" if outcome.error else f"done in {outcome.duration_s:.2f} s"
        self.report(f"{type(outcome.action).__name__}{where}: {state}")


def _silent(_message: str) -> None:
    """Nobody listens."""


no_progress = Progress(_silent)
