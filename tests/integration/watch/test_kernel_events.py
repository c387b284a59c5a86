"""What is done by hand to taps and rules is repaired at once, long before the next resync."""

import subprocess
from collections.abc import Iterator

import pytest

from reconciler.model.faults import Groups, PartitionRequest
from tests.integration.bed import Audit, Bed, Session, audit, host_libvirt
from tests.integration.clusters.test_kills import CLUSTER, define, start
from tests.integration.kills import run
from tests.integration.watch.conftest import Manager, WatchProcess, watching
from tests.integration.watch.test_repairs import domain, whole
from tests.waiting import wait_until

NO_RESYNC_S = 3600


async def cut(session: Session) -> None:
    await session.faults.inject(CLUSTER, PartitionRequest(shape=Groups(groups=(("n0",), ("n1",)))))


async def heal(session: Session) -> None:
    assert await session.faults.heal_all(CLUSTER) == 1


@pytest.fixture
def expected(bed: Bed) -> Iterator[Audit]:
    bed.write_topology(CLUSTER)
    run(bed, define, start, cut)
    yield audit(bed)
    run(bed, heal)


@pytest.fixture
def service(bed: Bed, expected: Audit, manager: Manager) -> Iterator[WatchProcess]:
    """The service, when it has looked at the cluster once and has no further reason to."""
    assert expected.active
    with watching(bed, resync_s=NO_RESYNC_S, environment=manager.environment) as service:
        wait_until(lambda: manager.has("STATUS=1 clusters, all as desired"))
        yield service


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def tap() -> str:
    return command("ip", "-o", "link", "show", "type", "tun").split(":")[1].strip()


def actions(service: WatchProcess) -> list[str]:
    return [entry["action"] for entry in service.logged("action") if entry["outcome"] == "done"]


def test_a_tap_that_is_unplugged_is_plugged_in_again(service: WatchProcess) -> None:
    name = tap()
    command("ip", "link", "set", name, "nomaster")
    wait_until(lambda: "master" in command("ip", "-o", "link", "show", name))
    wait_until(lambda: actions(service) == ["PlugTap"])


def test_a_tap_that_is_put_down_is_put_up_again(service: WatchProcess) -> None:
    name = tap()
    command("ip", "link", "set", name, "down")
    wait_until(lambda: ",UP" in command("ip", "-o", "link", "show", name))
    wait_until(lambda: actions(service) == ["SetLinks"])


def test_rules_that_are_flushed_are_put_back(service: WatchProcess) -> None:
    before = command("nft", "list", "table", "bridge", f"vmcluster-{CLUSTER}")
    command("nft", "flush", "ruleset", "bridge")  # of every family, libvirt could no longer start a network
    wait_until(lambda: f"vmcluster-{CLUSTER}" in command("nft", "list", "tables"))
    assert command("nft", "list", "table", "bridge", f"vmcluster-{CLUSTER}") == before
    wait_until(lambda: actions(service) == ["SetLinks"])


def test_a_machine_that_ends_takes_its_tap_along_without_a_failed_repair(
    bed: Bed, expected: Audit, service: WatchProcess
) -> None:
    with host_libvirt() as handle:
        domain(handle).destroy()
    wait_until(lambda: whole(bed, expected))
    wait_until(lambda: "Start" in actions(service))
    assert {entry["outcome"] for entry in service.logged("action")} == {"done"}
    assert "PlugTap" not in actions(service)
