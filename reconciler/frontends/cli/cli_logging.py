"""Structured logs on standard error."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from reconciler.frontends.cli.options import LogOptions
from reconciler.frontends.cli.text import one_line
from reconciler.frontends.cli.wording import in_commands, texts_about
from reconciler.model.action_names import ACTION_ENDED

_UNASKED = LogOptions()
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def configure_logs(options: LogOptions, configured: str | None = None) -> None:
    """Log to standard error. `configured` is the level in the user's configuration; `-v` logs more.

    Where nobody asked for logs, what a command says anyway as it goes on is not said again.
    """
    level = _LEVELS[min(options.verbosity, len(_LEVELS) - 1)]
    if configured is not None and options.verbosity == 0:
        level = logging.getLevelNamesMapping()[configured]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([] if options != _UNASKED or configured is not None else [_told_as_progress]),
            _in_commands,
            *_rendering(as_json=options.as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _told_as_progress(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Actions that end, failed ones too, are told by `Progress`."""
    if event.get("event") == ACTION_ENDED:
        raise structlog.DropEvent
    return event


def _rendering(*, as_json: bool) -> list[Any]:
    if as_json:
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    colors = sys.stderr.isatty()
    return [
        _harmless,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _in_commands(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Spell the calls that a logged error names as commands."""
    if isinstance(event.get("cause"), str):
        with texts_about(event.get("cluster"), event.get("node")):
            event["cause"] = in_commands(event["cause"])
    return event


def _harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape values, which may come from guests and files."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = one_line(value)
    return event
