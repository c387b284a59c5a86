"""Real stores of each kind, empty, and clients of them in processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from reconciler.store.etcd import key_names
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete_below
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.sqlite import SqliteStore
from tests.etcd import RunningEtcd, running_etcd
from tests.unit.store.client import AnyStore, opened

_ROOT = Path(__file__).parents[3]

Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    """One server for all tests of this process; each finds it empty."""
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as running:
        yield running


@pytest.fixture
async def empty_etcd(etcd: RunningEtcd) -> RunningEtcd:
    client = EtcdClient(etcd.address, EtcdCredentials())
    await client.change((), [delete_below(key_names.ROOT)])
    await client.close()
    return etcd


@pytest.fixture(params=["sqlite", pytest.param("etcd", marks=pytest.mark.processes)])
def place(request: pytest.FixtureRequest, state_dir: Path) -> str:
    """Where a store is, as `opened` takes it: a directory, or the address of an etcd."""
    if request.param == "sqlite":
        return str(state_dir)
    empty: RunningEtcd = request.getfixturevalue("empty_etcd")
    return str(empty.address)


@pytest.fixture
async def store(place: str) -> AsyncIterator[AnyStore]:
    async with opened(place) as store:
        yield store


@pytest.fixture
async def sqlite_store(state_dir: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(state_dir) as store:
        yield store


@pytest.fixture
async def etcd_store(empty_etcd: RunningEtcd) -> AsyncIterator[EtcdStore]:
    async with EtcdStore(empty_etcd.address, EtcdCredentials()) as store:
        yield store


@pytest.fixture
async def spawn(place: str) -> AsyncIterator[Spawn]:
    """Start a client of the store and return it once it is ready; all are killed at the end of the test."""
    async with _spawning(place) as start:
        yield start


@pytest.fixture
async def spawn_in_state_dir(state_dir: Path) -> AsyncIterator[Spawn]:
    """The same where it is about the directory, and no matter which store."""
    async with _spawning(str(state_dir)) as start:
        yield start


@asynccontextmanager
async def _spawning(place: str) -> AsyncIterator[Spawn]:
    clients: list[asyncio.subprocess.Process] = []

    async def start(verb: str, argument: int = 0) -> asyncio.subprocess.Process:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.unit.store.client", verb, place, str(argument)),
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
