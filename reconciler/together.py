"""Several things at once, and none of them left behind."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    together = asyncio.gather
else:

    async def together(*work: Awaitable[Any]) -> list[Any]:
        """What `asyncio.gather` returns, once all have come to their end; then the first error is raised.

        `gather` alone raises at once and leaves the others running for nobody: at the end of the process they are
        cancelled wherever they are, and a program that is just being started is then waited for without end (seen
        with Python 3.11). An error that is returned is a result.
        """
        tasks = [asyncio.ensure_future(each) for each in work]
        await asyncio.gather(*tasks, return_exceptions=True)
        return [task.result() for task in tasks]
