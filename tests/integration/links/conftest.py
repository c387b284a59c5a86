"""A segment of four nodes on a host of its own (a network namespace), with a record of the commands run on it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from reconciler import process
from reconciler.process import Completed, RunCommand
from tests.integration.links.segment import Segment, segment

NODES = ("n0", "n1", "n2", "n3")
CLUSTER = "lab"
_HOST_NAMESPACE = "linkhost"


@dataclass
class OnHost:
    """Runs commands in the network namespace that acts as the host, and records them."""

    commands: list[tuple[str, ...]] = field(default_factory=list)

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        self.commands.append(tuple(argv))
        command = ["nsenter", f"--net=/run/netns/{_HOST_NAMESPACE}", "--", *argv]
        return await process.run(command, timeout_s=timeout_s, stdin=stdin, check=check)


@pytest.fixture
async def host() -> AsyncIterator[OnHost]:
    """A host with empty firewalls, where a test may flush anything."""
    await process.run(["ip", "netns", "add", _HOST_NAMESPACE])
    run = OnHost()
    for program in ("iptables", "ip6tables"):
        await run([program, "-P", "FORWARD", "ACCEPT"])  # its own base chains stay when the rules are removed
    yield run
    await process.run(["ip", "netns", "del", _HOST_NAMESPACE])


@pytest.fixture
async def four(host: RunCommand) -> AsyncIterator[Segment]:
    """Four nodes on that host."""
    async with segment(host, NODES) as made:
        yield made
