"""Runs several things at once, and leaves none of them behind."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    together = asyncio.gather
else:

    async def together(*work: Awaitable[Any]) -> list[Any]:
        """What `asyncio.gather` returns, once all have ended; then the first error is raised.

        `gather` alone raises at once and leaves the others running: when the process ends they are cancelled at any
        point, and a program that is just being started is then waited for forever (seen with Python 3.11). An error
        that is returned is a result.
        """
        tasks = [asyncio.ensure_future(each) for each in work]
        await asyncio.gather(*tasks, return_exceptions=True)
        return [task.result() for task in tasks]
