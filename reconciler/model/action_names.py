"""The name of an action as users read it."""

from reconciler.model.choices import StopMode
from reconciler.model.plan import Action, CutPower, ShutDown

ACTION_ENDED = "action"
"""The name of the log's event that tells of an action and how it ended."""


def action_name(action: Action) -> str:
    """The name of what is done: a power cycle that asks the guest first is shown as a shutdown, not as a power cut."""
    asks_first = isinstance(action, CutPower) and action.mode is StopMode.SHUTDOWN
    return ShutDown.__name__ if asks_first else type(action).__name__
