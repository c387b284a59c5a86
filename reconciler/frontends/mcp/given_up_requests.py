"""Requests that a client gives up, and no others, end by that."""

import asyncio
from typing import Any

from anyio.lowlevel import checkpoint_if_cancelled
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext


async def end_this_request_only(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Have a request that is given up end by the cancellation of its own scope.

    anyio knows that one by its message. `asyncio.gather` raises one without it if what it waited for had an end of its
    own, and the SDK would close the connection, with all other requests.
    """
    try:
        return await call_next(ctx)
    except asyncio.CancelledError:
        await checkpoint_if_cancelled()
        raise
