"""Free space on the host's file systems: writing leaves a reserve, since guests stop on a full disk."""

import os
from pathlib import Path

from reconciler.errors import OperationFailed

RESERVE_BYTES = 64 << 20
"""Free space that vmcluster never uses up: QEMU pauses guests whose writes meet a full disk."""
_STEP_BYTES = 8 << 20


def free_bytes(directory: Path) -> int:
    """What an unprivileged user may still write to that file system."""
    figures = os.statvfs(directory)
    return figures.f_bavail * figures.f_frsize


def require_space(directory: Path, needed_bytes: int = 0) -> None:
    """Raise `OperationFailed` if writing that many bytes in a directory would not leave the reserve free."""
    free = free_bytes(directory)
    if free - needed_bytes < RESERVE_BYTES:
        needed = f", where {needed_bytes >> 20} MiB are needed" if needed_bytes else ""
        raise OperationFailed(
            f"only {free >> 20} MiB are free for {directory}{needed}; {RESERVE_BYTES >> 20} MiB are kept as a reserve",
            hint="free some space on that file system",
        )


class SpaceGuard:
    """Checks the free space of a directory from time to time while an unknown amount is written there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next_look_bytes = 0

    def passed(self, written_bytes: int) -> None:
        """Report how much was written so far. Raises `OperationFailed` if the reserve is reached."""
        if written_bytes >= self._next_look_bytes:
            require_space(self._directory)
            self._next_look_bytes = written_bytes + _STEP_BYTES


def allocated_bytes(path: Path) -> int:
    """Size of a file on disk, without its holes; 0 if it does not exist."""
    return path.stat().st_blocks * 512 if path.exists() else 0
