"""A snapshot of nodes on several hosts is the same from whichever host it is asked for."""

import json
from collections.abc import Iterator

import pytest

from reconciler.model import names
from tests.integration.hosts.idle_cluster import running_over, start_logged, vmcluster
from tests.lab.hosts import Hosts, LabHost

CLUSTER = "frozen"
NODES = {"n1": 1, "n2": 2, "n3": 3}

pytestmark = pytest.mark.long


def state_of(host: LabHost, node: str) -> str:
    return host.run("virsh", "domstate", names.domain_name(CLUSTER, node)).stdout.strip()


def manifests(hosts: Hosts, name: str) -> list[bool]:
    """Whether each host has its part of a snapshot."""
    place = f"/var/lib/vmcluster/overlays/{CLUSTER}/snapshots/{name}/manifest.json"
    return [host.inside(place).exists() for host in hosts.hosts]


@pytest.fixture(scope="module")
def controllers(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    logs = tmp_path_factory.mktemp("watch")
    with running_over(hosts, CLUSTER, NODES, lambda host: start_logged(host, logs, "vmcluster", "watch")):
        yield


@pytest.mark.usefixtures("controllers")
def test_a_snapshot_is_taken_listed_reverted_to_and_deleted_from_any_host(
    hosts: Hosts,
) -> None:
    for name in ("disks", "memory"):
        more = ["--memory"] if name == "memory" else []
        taken = json.loads(vmcluster(hosts[2], "snapshot", "create", CLUSTER, name, *more, "-o", "json").stdout)
        assert taken["per_node"].keys() == NODES.keys()
        print(name, "pause_s", taken["pause_s"])
        assert manifests(hosts, name) == [True] * 3
    for number in NODES.values():
        listed = json.loads(vmcluster(hosts[number], "snapshot", "list", CLUSTER, "-o", "json").stdout)
        assert [of["snapshot_name"] for of in listed] == ["disks", "memory"]
        assert all(part["size_bytes"] > 0 for of in listed for part in of["per_node"].values())
    for name in ("disks", "memory"):
        vmcluster(hosts[3], "snapshot", "revert", CLUSTER, name, "--no-wait", "--yes")
        assert {state_of(hosts[number], node) for node, number in NODES.items()} == {"running"}
    for name in ("disks", "memory"):
        vmcluster(hosts[1], "snapshot", "delete", CLUSTER, name)
        assert manifests(hosts, name) == [False] * 3
