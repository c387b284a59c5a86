"""Free space on the host's file systems: what is written leaves a reserve, since guests that meet a full disk stop."""

import os
from pathlib import Path

from reconciler.errors import OperationFailed

RESERVE_BYTES = 64 << 20
"""Free space that nothing written by vmcluster goes below: QEMU pauses guests that meet a full disk in mid-write."""
_STEP_BYTES = 8 << 20


def free_bytes(directory: Path) -> int:
    """What an unprivileged user may still write to that file system."""
    figures = os.statvfs(directory)
    return figures.f_bavail * figures.f_frsize


def require_space(directory: Path, needed_bytes: int = 0) -> None:
    """Raise `OperationFailed` where so much more would not leave the reserve free in a directory."""
    free = free_bytes(directory)
    if free - needed_bytes < RESERVE_BYTES:
        needed = f", where {needed_bytes >> 20} MiB are needed" if needed_bytes else ""
        raise OperationFailed(
            f"only {free >> 20} MiB are free for {directory}{needed}; {RESERVE_BYTES >> 20} MiB are kept as a reserve",
            hint="free some space on that file system",
        )


class SpaceGuard:
    """Looks at the free space of a directory from time to time while something of unknown length is written there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next_look_bytes = 0

    def passed(self, written_bytes: int) -> None:
        """To be told how much was written so far. Raises `OperationFailed` where the reserve is reached."""
        if written_bytes >= self._next_look_bytes:
            require_space(self._directory)
            self._next_look_bytes = written_bytes + _STEP_BYTES
