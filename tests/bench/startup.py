"""From spawning the MCP server to its answered `tools/list`."""

import asyncio
from collections.abc import Sequence

from tests.bench import mcp_startup
from tests.bench.figure import Figure

ROUNDS = 9


async def measure() -> Sequence[Figure]:
    """Ours beside a bare SDK server with as many tools."""
    ours, bare = await asyncio.to_thread(mcp_startup.medians, ROUNDS)
    name = "spawn to answered tools/list"
    return [
        Figure(name, ours, samples=ROUNDS, baseline=bare, limit_ratio=mcp_startup.LIMIT, reference="bare SDK server")
    ]
