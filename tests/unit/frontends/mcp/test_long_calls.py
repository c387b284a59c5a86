"""A call that takes its time: another process holds the controller's lease, and this one waits for it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from reconciler.model.choices import StopMode
from reconciler.store.lease import FILE_NAME, Lease
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases import image_pull, images
from reconciler.usecases.build_trees import Artifacts
from reconciler.usecases.deployment import Deployment
from reconciler.usecases.transfers import Transfers
from tests.unit.frontends.mcp.conftest import Agent, agent_of
from tests.unit.frontends.mcp.test_answers import stored
from tests.unit.frontends.mcp.test_modes import NEWEST
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.long


@pytest.fixture
def lease(configuration: dict[str, str]) -> Iterator[Lease]:
    """The controller's lease, held by somebody who does nothing with it."""
    lease = Lease(Path(configuration["VMCLUSTER_STATE_DIR"]) / FILE_NAME)
    assert lease.try_acquire()
    yield lease
    lease.release()


async def wanted_stop_modes(configuration: dict[str, str]) -> set[StopMode]:
    async with SqliteStore(Path(configuration["VMCLUSTER_STATE_DIR"])) as store:
        record = await store.get("lab")
    assert record is not None
    return {intent.stop_mode for intent in record.nodes.values()}


async def until_wanted(configuration: dict[str, str], mode: StopMode) -> None:
    """Wait until the record asks for `mode`."""

    async def is_wanted() -> bool:
        return await wanted_stop_modes(configuration) == {mode}

    await eventually(is_wanted)


@pytest.mark.usefixtures("lease")
async def test_others_are_answered_during_a_long_call_and_cancelling_it_leaves_what_is_desired(
    configuration: dict[str, str], spawned: StdioServerParameters
) -> None:
    await stored(configuration)
    async with Client(spawned) as client:
        agent = await agent_of(client)
        stop = agent.call("cluster_stop", cluster_name="lab", mode="destroy", timeout_s=10 * PATIENCE_S)
        long = asyncio.create_task(stop)
        await until_wanted(configuration, StopMode.DESTROY)
        assert (await agent.call("cluster_list"))["success"]
        assert not long.done()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        assert (await agent.call("cluster_list"))["success"]
    assert await wanted_stop_modes(configuration) == {StopMode.DESTROY}


async def test_a_change_goes_on_when_its_call_is_cancelled(
    configuration: dict[str, str], lease: Lease, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(configuration)
    long = asyncio.create_task(agent.call("cluster_stop", cluster_name="lab", mode="destroy", timeout_s=20))
    await until_wanted(configuration, StopMode.DESTROY)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    lease.release()  # now the round that the cancelled call asked for can run: it reports that libvirt is away
    async with SqliteStore(Path(configuration["VMCLUSTER_STATE_DIR"])) as store, asyncio.timeout(PATIENCE_S):
        while (status := await store.status("lab")) is None:
            await asyncio.sleep(0.02)
    assert [obstacle.code for obstacle in status.obstacles] == ["LIBVIRT_UNAVAILABLE"]


SERVER = """
import asyncio, sys
from reconciler.frontends.mcp.server import main
from reconciler.usecases.nodes import Nodes

async def run(*_, **__):
    print("began", file=sys.stderr)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)  # as to kill a command over SSH
        print("killed", file=sys.stderr)

Nodes.run = run
main()
"""
CANCELLED = {"method": "notifications/cancelled", "params": {"requestId": 7}}


@pytest.mark.processes
@pytest.mark.parametrize("leaves", [False, True], ids=["it cancels", "it leaves"])
def test_a_command_is_killed_when_its_client_gives_it_up(configuration: dict[str, str], leaves: bool) -> None:
    def said(**message: Any) -> str:
        return json.dumps({"jsonrpc": "2.0", **message}) + "\n"

    command = {"cluster_name": "lab", "node_name": "alpha", "command": "sleep 300"}
    call = {"name": "node_exec", "arguments": command, "_meta": NEWEST}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as server:
        assert server.stdin
        assert server.stderr
        server.stdin.write(said(id=7, method="tools/call", params=call))
        server.stdin.flush()
        for line in server.stderr:
            if line == "began\n":
                break
        if not leaves:
            server.stdin.write(said(**CANCELLED))
            server.stdin.flush()
            assert "killed\n" in server.stderr
        server.stdin.close()
        assert leaves is ("killed\n" in server.stderr.readlines())
        assert server.wait(PATIENCE_S) == 0


ON_NODES = {"cluster_name": "lab", "artifact_id": "a" * 64}
PATHS = {"source_path": "/here", "dest_path": "/there"}
GOES_ON: dict[str, tuple[object, str, dict[str, str]]] = {
    "artifact_register": (Artifacts, "register", {"source_path": "/tree"}),
    "artifact_sync": (Deployment, "sync", ON_NODES),
    "artifact_install": (Deployment, "install", ON_NODES),
    "artifact_uninstall": (Deployment, "uninstall", {"cluster_name": "lab"}),
    "node_push": (Transfers, "push", {"cluster_name": "lab", **PATHS}),
    "node_pull": (Transfers, "pull", {"cluster_name": "lab", "node_name": "alpha", **PATHS}),
    "image_build": (images, "build_guest_image", {}),
    "image_pull": (image_pull, "pull_image", {"image": "debian-12"}),
}


@pytest.mark.parametrize("tool", GOES_ON)
async def test_long_work_goes_on_when_its_call_is_cancelled(
    tool: str, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, enough, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(*_: object, **__: object) -> None:
        began.set()
        await enough.wait()
        done.set()

    kind, verb, arguments = GOES_ON[tool]
    monkeypatch.setattr(kind, verb, work)
    long = asyncio.create_task(agent.call(tool, **arguments))
    await asyncio.wait_for(began.wait(), PATIENCE_S)
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    assert (await agent.call("cluster_list"))["success"], "the server has heard of the cancellation"
    enough.set()
    await asyncio.wait_for(done.wait(), PATIENCE_S)


@pytest.mark.usefixtures("lease")
async def test_the_server_ends_soon_though_a_change_is_on_its_way(configuration: dict[str, str]) -> None:
    from reconciler.frontends.mcp.cluster_server import ClusterServer

    await stored(configuration)
    async with Client(ClusterServer()) as client:
        agent = await agent_of(client)
        long = asyncio.create_task(
            agent.call("cluster_stop", cluster_name="lab", mode="destroy", timeout_s=10 * PATIENCE_S)
        )
        await until_wanted(configuration, StopMode.DESTROY)
        long.cancel()
        await asyncio.wait([long])
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE_S
