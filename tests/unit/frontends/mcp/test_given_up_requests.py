"""A request that is given up takes no other with it."""

import asyncio
from typing import Any

import anyio
import pytest

from reconciler.frontends.mcp.given_up_requests import end_this_request_only

ANY: Any = None


async def _ends_in_its_own_way() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def _gathered(_context: object) -> Any:
    await asyncio.gather(_ends_in_its_own_way())


async def test_work_that_ends_in_its_own_way_when_it_is_given_up_ends_only_its_request() -> None:
    async with anyio.create_task_group() as connection:
        with anyio.CancelScope() as request:
            asyncio.get_running_loop().call_later(0, request.cancel)
            await end_this_request_only(ANY, _gathered)
        assert request.cancelled_caught
        assert not connection.cancel_scope.cancel_called


async def test_the_end_of_the_server_ends_its_requests() -> None:
    task = asyncio.create_task(end_this_request_only(ANY, _gathered))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
