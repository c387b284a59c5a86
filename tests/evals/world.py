"""The cluster that a task is about: three booted nodes, a snapshot with memory of them, and a client of the tools."""

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

ROOT = Path(__file__).parents[2]
NODES = ("n0", "n1", "n2")
FRESH = "fresh"
"""The snapshot with memory that every task begins from."""
SERVER = (sys.executable, "-m", "reconciler")
BOOT_TIMEOUT_S = 900.0


class Refused(Exception):
    """A call that had to succeed was answered with an error."""


@dataclass(frozen=True)
class Tools:
    """A client of the tools."""

    client: Client

    async def answer(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The envelope of an answer, whatever it says."""
        said = (await self.client.call_tool(tool, arguments)).structured_content
        assert isinstance(said, dict), said
        return said

    async def call(self, tool: str, /, **arguments: Any) -> Any:
        """The result of a call. Raises `Refused` if there is an error."""
        envelope = await self.answer(tool, **arguments)
        if not envelope["success"]:
            raise Refused(f"{tool}: {envelope['error']}")
        return envelope["result"]


@dataclass(frozen=True)
class World:
    """Where a task takes place. `builds` are the directories of the module's trees, oldest first, if it has any."""

    cluster: str
    directory: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    server: Sequence[str] = SERVER
    libvirt_uri: str = "qemu:///system"
    builds: tuple[Path, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """What stands for the names in braces of a task's goal and start."""
        builds = ", ".join(map(str, self.builds))
        return {"cluster": self.cluster, "uri": self.libvirt_uri, "builds": builds}

    @asynccontextmanager
    async def tools(self, record: Path | None = None) -> AsyncIterator[Tools]:
        """A client of a server of its own, recorded if `record` is given."""
        command, *arguments = self.server if record is None else self.recorded(record)
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        parameters = StdioServerParameters(command=command, args=arguments, env=environment, cwd=self.directory)
        async with Client(parameters, cache=None) as client:
            await client.list_tools()  # as every agent does
            yield Tools(client)

    def recorded(self, record: Path) -> list[str]:
        """The command of a server whose messages are recorded."""
        return [sys.executable, "-m", "tests.evals", "relay", str(record), "--", *self.server]
