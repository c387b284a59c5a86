"""Tests that were written for one host hold over three: they are run on the first, with a node on each."""

import sys
from collections.abc import Iterator

import pytest

from tests.integration.bed import HOSTS_VARIABLE
from tests.lab import WORK_DIR
from tests.lab.hosts import Hosts, OnHost
from tests.waiting import BOOT_TIMEOUT_S, wait_until

GUESTS = "tests/integration/guests"
TESTS = (
    "test_workflow.py",
    "test_faults.py::test_connections_stall_under_a_cut_and_go_on_when_it_is_healed",
    "test_faults.py::test_a_rate_works_without_netem_and_a_delay_is_refused_and_not_left_desired",
    "test_snapshots.py::test_a_revert_with_memory_goes_on_where_the_snapshot_was",
    "test_artifacts.py::test_a_module_goes_from_its_build_tree_to_all_nodes_and_back",
    "test_kernel_log.py::test_a_marker_divides_every_log_into_before_and_after",
)
"""What needs nothing of the host that the product does not answer: few, for the time that they take. Netem needs a
kernel that has it, and is tried for a sender on another host in `links/test_netem.py`, in a guest.

Others, such as most of `test_snapshots.py`, are run so by hand: `python -m tests.lab --hosts 3 --image-dir DIR -- bash`
with `vmcluster watch` on each host, and there `python -m tests.lab.on 1 -- env VMCLUSTER_TEST_HOSTS=host1,host2,host3
python -m pytest TEST`.
"""

pytestmark = pytest.mark.long


@pytest.fixture
def controllers(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each host has its controller, which does the work; the tests are clients."""
    logs, running = tmp_path_factory.mktemp("watch"), list[OnHost]()
    for host in hosts.hosts:
        with (logs / host.name).open("wb") as output:
            running.append(host.start("vmcluster", "watch", output=output))
    wait_until(lambda: hosts[1].run("vmcluster", "host", "list", check=False).stdout.count(" Ready ") == len(running))
    yield
    for controller in running:
        controller.kill()


@pytest.mark.usefixtures("controllers")
def test_the_tests_of_one_host_hold_over_three(hosts: Hosts) -> None:
    names = ",".join(host.name for host in hosts.hosts)
    runner = (sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "--durations=0")
    done = hosts[1].run(
        *("env", f"{HOSTS_VARIABLE}={names}", f"TMPDIR={WORK_DIR}"),
        *(*runner, *(f"{GUESTS}/{test}" for test in TESTS)),
        check=False,
        timeout_s=3 * BOOT_TIMEOUT_S,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-20000:]}\n{done.stderr[-5000:]}"
    assert f"{len(TESTS)} passed" in done.stdout
