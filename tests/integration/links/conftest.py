"""A segment of four nodes on the lab's own host, and a count of the commands that are run on it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from reconciler import process
from reconciler.host.links.driver import LinkDriver
from reconciler.model.links import FirewallChoice
from reconciler.process import Completed
from tests.integration.links.segment import Segment, segment

NODES = ("n0", "n1", "n2", "n3")


@dataclass
class Counted:
    """Runs commands here, and notes which."""

    commands: list[tuple[str, ...]] = field(default_factory=list)

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        self.commands.append(tuple(argv))
        return await process.run(argv, timeout_s=timeout_s, stdin=stdin, check=check)


@pytest.fixture
async def four() -> AsyncIterator[Segment]:
    """Four nodes; afterwards the host's firewall is as empty as it was."""
    async with segment(process.run, NODES) as made:
        yield made
    await LinkDriver(FirewallChoice.NFTABLES).clear("lab", ())


@pytest.fixture
def counted() -> Counted:
    """A runner that counts."""
    return Counted()
