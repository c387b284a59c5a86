"""Fixtures of the tests that run against a real libvirtd."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.bed import Bed, Session, sweep
from tests.lab import inside_lab


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary files stay in the lab, also where the run is spread over several labs from outside of them."""
    if inside_lab():
        config.option.basetemp = None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a run that is spread over several labs keeps together: a module, and all that share the booted cluster.

    Modules that say themselves what they go together with share one of their own.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            shared = "shared_cluster" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("shared cluster" if shared else str(item.path)))


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
