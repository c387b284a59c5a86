"""A separate server process on a test's bed, and a client that checks every answer against its schema."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.integration.bed import Bed
from tests.unit.frontends.mcp.conftest import Agent, agent_of


@asynccontextmanager
async def connected(bed: Bed) -> AsyncIterator[Agent]:
    """A client of a fresh server on the bed; the server ends with the block."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "reconciler"], env=bed.environment)
    async with Client(server) as client:
        yield await agent_of(client)
