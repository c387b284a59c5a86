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
        "test_evals",
        "test_faults",
        "test_mcp",
        "test_serial_lines",
        "test_snapshot_histories",
        "test_snapshots",
        "test_trio",
        "test_workflow",
    },
}
"""Modules of `guests` by the cluster that they share: two clusters with about equal work, to run side by side."""

TEST_TIMEOUT_S = 2400
"""For one test with its fixtures, one of which boots a cluster: that takes minutes if the machine is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set a time limit for each test of this directory without one; unit tests have a shorter limit.

    Tests that share a booted cluster take longest, and use the cores; tests that mostly wait fit in beside them.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))
            if _cluster_of(item.nodeid) is not None:
                item.add_marker(pytest.mark.long)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files in the lab, even if the run is spread over several labs from outside."""
    if inside_lab():
        config.option.basetemp = None


class SpreadOverLabs(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps together the modules that share a lab, and those that share a booted cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return _cluster_of(nodeid) or nodeid.partition("::")[0]


def _cluster_of(nodeid: str) -> str | None:
    """The shared cluster that a test runs on, or the shared hosts."""
    if nodeid.startswith("tests/integration/hosts/"):
        return "hosts"
    module = nodeid.partition("::")[0].removeprefix("tests/integration/guests/").removesuffix(".py")
    return next((cluster for cluster, modules in CLUSTERS.items() if module in modules), None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SpreadOverLabs:
    """Override `--dist`, because a module may not be split."""
    return SpreadOverLabs(config, log)


@pytest.fixture
def bed(lab_path: Path) -> Iterator[Bed]:
    """A bed for one test; whatever the test leaves on the host is removed."""
    yield Bed.made_in(lab_path)
    sweep()


@pytest.fixture
async def session(bed: Bed) -> AsyncIterator[Session]:
    """One client on the test's bed."""
    async with bed.runtime() as runtime:
        yield Session(runtime)
