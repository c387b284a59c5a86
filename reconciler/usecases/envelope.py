"""The only place where an error becomes an answer."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog

from reconciler.errors import ClusterError, InternalError, explained
from reconciler.model.results import ToolError, ToolResult

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def answer(work: Awaitable[T]) -> ToolResult[T]:
    """The result of `work`, or its error, in the envelope of the contract. Raises nothing."""
    try:
        return ToolResult(success=True, result=await work)
    except ClusterError as error:
        return ToolResult(success=False, result=error.partial, error=ToolError.of(error))
    except Exception as error:
        told = explained(error)
        log.exception("internal_error" if isinstance(told, InternalError) else "operation_failed")
        return ToolResult(success=False, error=ToolError.of(told))
