"""A real store in a fresh directory, and clients of it in processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.store.sqlite import SqliteStore

_ROOT = Path(__file__).parents[3]

Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def store(state_dir: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(state_dir) as opened:
        yield opened


@pytest.fixture
async def spawn(state_dir: Path) -> AsyncIterator[Spawn]:
    """Start a client and return it once it is ready; all are killed at the end of the test."""
    clients: list[asyncio.subprocess.Process] = []

    async def start(verb: str, argument: int = 0) -> asyncio.subprocess.Process:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.unit.store.client", verb, str(state_dir), str(argument)),
            cwd=_ROOT,
            stdout=subprocess.PIPE,
        )
        clients.append(client)
        assert client.stdout is not None
        assert await client.stdout.readline() == b"ready\n"
        return client

    yield start
    for client in clients:
        with suppress(ProcessLookupError):
            client.kill()
        await client.communicate()
