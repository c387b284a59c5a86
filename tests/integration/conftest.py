"""Fixtures of the tests that run against a real libvirtd."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.integration.bed import Bed, Session, sweep
from tests.lab import inside_lab

CLUSTERS = {
    "kernels": {"test_artifacts", "test_kernel_log", "test_log_commands", "test_outputs", "test_systemd_unit"},
    "nodes": {
        "test_faults",
        "test_mcp",
        "test_serial_lines",
        "test_snapshot_histories",
        "test_snapshots",
        "test_trio",
        "test_workflow",
    },
}
"""Modules of `guests` by the cluster that they share: two, of about as much work, so that they run side by side."""

TEST_TIMEOUT_S = 1200
"""Of one test with its fixtures, one of which boots a cluster: minutes, where other work keeps the machine busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A time limit for each test of this directory that has none of its own; the limit of unit tests is shorter.

    What shares a booted cluster takes longest, and the cores: beside it, tests that wait find time.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))
            if _cluster_of(item.nodeid) is not None:
                item.add_marker(pytest.mark.long)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary files stay in the lab, also where the run is spread over several labs from outside of them."""
    if inside_lab():
        config.option.basetemp = None


class SpreadOverLabs(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps together what shares a lab: a module, and modules that share a booted cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return _cluster_of(nodeid) or nodeid.partition("::")[0]


def _cluster_of(nodeid: str) -> str | None:
    """The shared cluster that a test runs on."""
    module = nodeid.partition("::")[0].removeprefix("tests/integration/guests/").removesuffix(".py")
    return next((cluster for cluster, modules in CLUSTERS.items() if module in modules), None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SpreadOverLabs:
    """Whatever `--dist` says: modules may not be torn apart."""
    return SpreadOverLabs(config, log)


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
