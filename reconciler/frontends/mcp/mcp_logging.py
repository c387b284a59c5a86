"""Logs to stderr: lines for people on a terminal, JSON lines elsewhere."""

import logging
import sys

import structlog
from structlog.typing import Processor

from reconciler.settings import LogLevel


def log_to_stderr(level: LogLevel) -> None:
    """Send the log to stderr; standard output is for the protocol."""
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
