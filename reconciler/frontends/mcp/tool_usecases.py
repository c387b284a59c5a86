"""The use cases as the tools call them. Imported at the first call, because it imports libvirt and SSH."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import structlog
from structlog.typing import Processor

from reconciler.frontends.mcp.caller import Caller
from reconciler.model.results import ToolResult
from reconciler.progress import Progress
from reconciler.runtime import Runtime
from reconciler.settings import LogLevel, load_settings
from reconciler.usecases.application import UseCases
from reconciler.usecases.envelope import Envelope
from reconciler.usecases.host_paths import reach_of_tools
from reconciler.usecases.missing_clusters import naming_topologies

T = TypeVar("T")

log = structlog.get_logger(__name__)


class ToolService:
    """The use cases in this process. If opening them fails, that is the answer, and the next call tries again."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        """With a `runtime`, over what this process has open already: its opener sets up the log and closes it."""
        if runtime is None:
            log_to_stderr(LogLevel.INFO)
        self._runtime = runtime
        self._opening = asyncio.Lock()
        self._exit = AsyncExitStack()

    async def answer(
        self, work: Callable[[UseCases], Awaitable[T]], caller: Caller, report: Callable[[str], None]
    ) -> ToolResult[T]:
        """Do the work and put its result or error into the envelope; raises only when cancelled."""
        began = time.monotonic()
        with Envelope[T]() as envelope:
            runtime = await self._open()
            reach = reach_of_tools(runtime.settings, caller.roots)
            use = UseCases(runtime, actor=caller.actor, progress=Progress(report), reach=reach)
            envelope.result = await naming_topologies(work(use), runtime.settings, others=True)
        result = envelope.answer()
        _log(caller, result, time.monotonic() - began)
        return result

    async def close(self) -> None:
        """Close connections and files; nothing on the host changes."""
        await self._exit.aclose()

    async def _open(self) -> Runtime:
        async with self._opening:
            if self._runtime is None:
                settings = load_settings()
                log_to_stderr(settings.log_level)
                self._runtime = await self._exit.enter_async_context(Runtime(settings))
                await self._runtime.follow_guests()
            return self._runtime


def _log(caller: Caller, result: ToolResult[T], duration_s: float) -> None:
    event = log.bind(tool=caller.tool, cluster=caller.cluster, actor=caller.actor, duration_s=round(duration_s, 3))
    if result.error is None:
        event.info("tool_call", outcome="success")
    else:
        event.warning("tool_call", outcome="error", code=result.error.code.value, message=result.error.message)


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
