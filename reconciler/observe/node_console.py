"""A node's serial console, as the host has logged it."""

import asyncio
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.host.console_log import ConsolePlace, ConsoleTail, ConsoleText, read_console
from reconciler.kernel_log.console import Style, style_of
from reconciler.model.names import console_path
from reconciler.model.record import ClusterRecord

__all__ = ["ConsolePlace", "ConsoleTail", "console_end", "console_style", "observe_console", "tail_console"]

_SAMPLE_BYTES = 256 * 1024


async def observe_console(record: ClusterRecord, node: str) -> ConsoleText:
    """The end of a node's console log. Raises `OperationFailed` if it cannot be read, or is empty."""
    try:
        text = await asyncio.to_thread(read_console, _path(record, node))
    except OperationFailed as error:
        error.node = node
        raise
    if not text.content:
        raise OperationFailed("the console log is empty", node=node, hint="the kernel needs `console=ttyS0`")
    return text


def tail_console(record: ClusterRecord, node: str) -> ConsoleTail:
    """What a node's console prints from now on."""
    return ConsoleTail(_path(record, node))


def console_style(record: ClusterRecord, node: str) -> Style:
    """How the node's kernel marks its lines on the console, as far as the log shows yet."""
    try:
        return style_of(read_console(_path(record, node), _SAMPLE_BYTES).content)
    except OperationFailed:
        return Style.BARE


def console_end(record: ClusterRecord, node: str) -> ConsolePlace:
    """Where a node's console log ends now. Raises `OperationFailed` if it cannot be read."""
    return ConsolePlace.end_of(_path(record, node))


def _path(record: ClusterRecord, node: str) -> Path:
    return console_path(record.spec.overlay_dir, record.cluster_name, node)
