"""The outcome of one action."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.errors import ClusterError
from reconciler.model.plan import Action


@dataclass(frozen=True, slots=True)
class Outcome:
    """One action that was carried out, or why it was not."""

    action: Action
    duration_s: float
    error: ClusterError | None = None


Checkpoint = Callable[[str], None]
"""Called with a name before and after each action; tests kill the process there."""
