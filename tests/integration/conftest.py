"""Fixtures of the tests that run against a real libvirtd."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.bed import Bed, Session, sweep


@pytest.fixture
def bed(lab_path: Path) -> Iterator[Bed]:
    """A place of the test's own; whatever it leaves on the host is taken away."""
    yield Bed.made_in(lab_path)
    sweep()


@pytest.fixture
async def session(bed: Bed) -> AsyncIterator[Session]:
    """One client on the test's bed."""
    async with bed.runtime() as runtime:
        yield Session(runtime)
