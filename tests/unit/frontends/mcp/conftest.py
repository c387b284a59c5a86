"""The real server, in this process or as one of its own, on a host whose libvirt is away."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult

from reconciler.frontends.mcp.cluster_server import ClusterServer


class Agent:
    """A client that checks every answer against the tool's output schema, and its text against its structure."""

    def __init__(self, client: Client, schemas: dict[str, dict[str, Any]]) -> None:
        self.client = client
        self._schemas = schemas

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The envelope of the answer."""
        return self._envelope(tool, await self.client.call_tool(tool, arguments))

    async def watch(self, report: Callable[[float, str], None], tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The envelope of the answer; `report` is told each step and what the server says to it meanwhile."""

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            report(progress, message or "")

        return self._envelope(tool, await self.client.call_tool(tool, arguments, progress_callback=on_progress))

    def _envelope(self, tool: str, answer: CallToolResult) -> dict[str, Any]:
        envelope = answer.structured_content
        assert isinstance(envelope, dict)
        validator_of(json.dumps(self._schemas[tool])).validate(envelope)
        assert answer.is_error is not envelope["success"]
        (text,) = answer.content
        assert text.type == "text"
        assert json.loads(text.text) == envelope
        return envelope


@cache
def validator_of(schema: str) -> Draft202012Validator:
    """Of a schema as JSON, which is itself looked at once: that takes longer than any answer."""
    document = json.loads(schema)
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


async def agent_of(client: Client) -> Agent:
    """An agent that knows the server's tools."""
    schemas = {tool.name: tool.output_schema or {} for tool in (await client.list_tools()).tools}
    return Agent(client, schemas)


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Environment of a host without libvirt, with an empty store."""
    (tmp_path / "topologies").mkdir()
    environment = {
        "VMCLUSTER_CONFIG": "",
        "VMCLUSTER_STATE_DIR": str(tmp_path / "state"),
        "VMCLUSTER_TOPOLOGY_DIR": str(tmp_path / "topologies"),
        "VMCLUSTER_OVERLAY_DIR": str(tmp_path / "overlays"),
        "VMCLUSTER_LIBVIRT_URI": f"qemu+unix:///system?socket={tmp_path}/no-libvirt",
        "HOME": str(tmp_path),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
async def agent(configuration: dict[str, str]) -> AsyncIterator[Agent]:
    """A client of a server in this process, in a task of its own: a cancel scope has to end where it began."""
    came: asyncio.Future[Agent] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def visit() -> None:
        async with Client(ClusterServer(), cache=None) as client:  # it copies all schemas to keep them
            came.set_result(await agent_of(client))
            await leave.wait()

    visiting = asyncio.create_task(visit())
    both: set[asyncio.Future[Any]] = {came, visiting}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    yield came.result()
    leave.set()
    await visiting


@pytest.fixture
def spawned(configuration: dict[str, str]) -> StdioServerParameters:
    """How to spawn a server process on that host."""
    return StdioServerParameters(command=sys.executable, args=["-m", "reconciler"], env={**os.environ, **configuration})
