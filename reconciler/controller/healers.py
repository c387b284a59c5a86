"""Healers: background processes that make faults expire, and visits end, in time if no service is running.

Cuts by nftables expire in the kernel; everything else needs a process at that time.
"""

import os
import sys
from collections.abc import Sequence

from reconciler.files.configuration_files import CONFIG_VARIABLE
from reconciler.process import leave_behind
from reconciler.settings import Settings

LEAVER = "--leave"
_PROGRAM = (sys.executable, "-P", "-m", "reconciler.healer")
"""-P keeps the caller's directory off the path: no module is loaded from a client's project."""


def start_healer(settings: Settings, cluster: str) -> None:
    """Start a background process that heals the cluster's faults as they expire, and exits when none is left.

    If there already is one, the new one exits immediately.
    """
    _leave(settings, [cluster])


def start_fault_watcher(settings: Settings, cluster: str, handle: str, lifeline: int) -> None:
    """Start a background process that heals one fault when the other end of the pipe `lifeline` is closed."""
    _leave(settings, [cluster, handle], stdin=lifeline)


def start_leaver(settings: Settings, cluster: str) -> None:
    """Start a background process that takes this host out of a network that it visits, once nobody uses it."""
    _leave(settings, [cluster, LEAVER])


def _leave(settings: Settings, arguments: Sequence[str], stdin: int | None = None) -> None:
    configuration = settings.as_environment()
    if chosen := os.environ.get(CONFIG_VARIABLE):
        configuration[CONFIG_VARIABLE] = os.path.abspath(chosen)  # noqa: PTH100  keeps links
    leave_behind([*_PROGRAM, *arguments], env=configuration, stdin=stdin)
