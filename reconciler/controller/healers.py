"""Healers: processes that are left behind so that faults end in time where no service watches.

What is cut by nftables heals in the kernel; everything else needs somebody who is there when the time comes.
"""

import os
import sys
from collections.abc import Sequence

from reconciler.process import leave_behind
from reconciler.settings import CONFIG_VARIABLE, Settings

_PROGRAM = (sys.executable, "-P", "-m", "reconciler.healer")
"""With -P the caller's directory is not on the path: no module is loaded from a client's project."""


def leave_healer(settings: Settings, cluster: str) -> None:
    """Leave a process that heals the cluster's faults as their times come, and ends when none is left.

    Where one is there already, the new one ends at once.
    """
    _leave(settings, [cluster])


def leave_watcher(settings: Settings, cluster: str, handle: str, lifeline: int) -> None:
    """Leave a process that heals one fault when nobody holds the other end of the pipe `lifeline` any more."""
    _leave(settings, [cluster, handle], stdin=lifeline)


def _leave(settings: Settings, arguments: Sequence[str], stdin: int | None = None) -> None:
    configuration = settings.as_environment()
    if chosen := os.environ.get(CONFIG_VARIABLE):
        configuration[CONFIG_VARIABLE] = os.path.abspath(chosen)  # noqa: PTH100  keeps links
    leave_behind([*_PROGRAM, *arguments], env=configuration, stdin=stdin)
