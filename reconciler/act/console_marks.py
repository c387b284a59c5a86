"""Marks on a node's console where a different past begins."""

from pathlib import Path

import structlog

from reconciler.host.console_log import note_on_console

log = structlog.get_logger(__name__)


def divide_console(console: Path, line: str, cluster: str, node: str) -> None:
    """Mark where memory or disks were replaced: the lines before belong to another past. A failure is only logged."""
    try:
        note_on_console(console, line)
    except OSError as error:
        log.warning("console_not_divided", cluster=cluster, node=node, cause=error.strerror)
