"""Controllers, members of etcd and ways between hosts fail in the middle of acts: each act is done once and whole.

These are some failures; `python -m tests.integration.hosts.failures`, in a lab, goes on with others for as long as you
like.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from reconciler.model import names
from tests.integration.hosts import failing_hosts as acts
from tests.integration.hosts.failing_hosts import CYCLE, HEAL, SPLIT, START, STOP, FailingHosts
from tests.integration.hosts.idle_cluster import document, running_over, vmcluster
from tests.lab.hosts import Hosts, LabHost, OnHost
from tests.waiting import wait_until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controllers")


@pytest.fixture(scope="module")
def controllers(hosts: Hosts, logs: Path) -> Iterator[dict[str, OnHost]]:
    assert hosts.members, "start these tests in a lab without hosts: they need hosts whose etcd they can kill"
    with running_over(hosts, acts.CLUSTER, acts.WHERE, lambda host: acts.start_controller(host, logs)) as running:
        yield running


@pytest.fixture
async def world(hosts: Hosts, controllers: dict[str, OnHost], logs: Path) -> AsyncIterator[FailingHosts]:
    failing = FailingHosts(hosts, controllers, logs)
    await failing.converged()
    yield failing
    await failing.close()


async def test_power_is_cycled_once_whatever_fails_meanwhile(world: FailingHosts) -> None:
    assert await world.failing(CYCLE, 1, "killed", "after CutPower")
    assert await world.failing(CYCLE, 2, "stopped beside another controller", "after CutPower")
    assert await world.failing(CYCLE, 3, "cut off from etcd", "before CutPower")
    assert await world.failing(CYCLE, 1, "cut off from both", "before Start")
    assert await world.failing(CYCLE, 2, "with two members of etcd killed", "before Start")
    assert await world.failing(CYCLE, 3, "with another leader of etcd", "after CutPower")


async def test_a_snapshot_is_taken_once_and_whole_and_reverted_to_once_whatever_fails_meanwhile(
    world: FailingHosts, hosts: Hosts
) -> None:
    for number, failure, boundary in (
        (1, "killed", "after Suspend"),
        (2, "killed", "before Agree"),
        (3, "killed", "before Manifest"),
        (1, "stopped for longer than its lease", "after Suspend"),
        (2, "cut off from the other hosts", "after Suspend"),
        (3, "with the leader of etcd killed", "after Suspend"),
        (1, "with another leader of etcd", "after Switch"),
    ):
        name = f"{failure.split()[0]}-{number}"
        assert await world.failing(acts.snapshot(name), number, failure, boundary)
    await world.carry_out(acts.snapshot("memory", memory=True))
    assert await world.failing(acts.revert("killed-2", hosts), 3, "killed", "after CutPower")
    assert await world.failing(acts.deletion("memory"), 2, "killed", "before DeleteSnapshot")


async def test_links_and_power_are_as_desired_whatever_fails_meanwhile(world: FailingHosts) -> None:
    assert await world.failing(SPLIT, 1, "killed", "before SetLinks")
    assert await world.failing(HEAL, 2, "cut off from the other hosts", "before HealLinks")
    assert await world.failing(STOP, 3, "with the leader of etcd killed", "before CutPower")
    assert await world.failing(START, 1, "killed", "before Start")


async def test_a_host_without_a_service_leaves_the_network_that_it_visited(world: FailingHosts, hosts: Hosts) -> None:
    here, visitor = hosts[1], hosts[3]
    topology = yaml.safe_dump(document("visited", {"n1": 1}, "192.168.155"))
    here.inside("/etc/vmcluster/topologies/visited.yaml").write_text(topology)
    vmcluster(here, "apply", "visited", "--no-wait")
    world.controllers[visitor.name].kill()
    try:
        vmcluster(visitor, "exec", "visited", "n1", "--timeout", "1", "--", "true", check=False)
        ours = {names.tunnel_name("visited"), "vb-visited"}
        assert ours <= set(visitor.run("ls", "/sys/class/net").stdout.split())
        kill_leaver(visitor, "visited")
        await world.end_visits("visited")
        vmcluster(visitor, "start", acts.CLUSTER, "--no-wait")  # whatever acts here starts it again
        wait_until(lambda: not ours & set(visitor.run("ls", "/sys/class/net").stdout.split()))
    finally:
        world.start_again(visitor)
        vmcluster(here, "destroy", "visited", "--remove-overlays", "--yes")


def kill_leaver(host: LabHost, cluster: str) -> None:
    """Kill the process that would take a host out of a cluster's network."""
    lock = host.inside(f"/var/lib/vmcluster/state/healers/{cluster}.visit.lock")
    wait_until(lambda: lock.exists() and bool(lock.read_text()))
    host.run("kill", "-KILL", str(json.loads(lock.read_text())["process_id"]))
