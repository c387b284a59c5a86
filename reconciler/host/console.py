"""The log of a node's serial console, which virtlogd writes on the host."""

import re
from pathlib import Path

from reconciler.errors import OperationFailed


def delete_console_logs(directory: Path, node: str) -> None:
    """Delete a node's console log and its rotated parts (`.0`, `.1`, …; virtlogd.conf(5), max_backups)."""
    pattern = re.compile(rf"{re.escape(node)}\.console\.log(\.[0-9]+)?")
    try:
        for entry in list(directory.iterdir()) if directory.is_dir() else []:
            if pattern.fullmatch(entry.name):
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise OperationFailed(f"cannot delete console logs in {directory}: {error.strerror}", node=node) from error
