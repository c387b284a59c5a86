"""Snapshots of nodes on several hosts: of one moment, or not at all, whichever controller is killed.

The machines have an empty disk and sit in their firmware: they run, write nothing and cost nothing.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model import names
from tests.lab.hosts import Hosts, LabHost, OnHost
from tests.waiting import BOOT_TIMEOUT_S, wait_until

CLUSTER = "frozen"
NODES = {"n1": 1, "n2": 2, "n3": 3}
IMAGE = Path("/var/lib/vmcluster/images/empty.qcow2")

pytestmark = pytest.mark.long


def document() -> dict[str, Any]:
    return {
        "cluster_name": CLUSTER,
        "base_image": str(IMAGE),
        "network": {
            "name": f"net-{CLUSTER}",
            "bridge": f"vb-{CLUSTER}",
            "subnet": "192.168.153.0/24",
            "forward": "isolated",
        },
        "nodes": [
            {"name": name, "host": f"host{number}", "vcpus": 1, "memory_mb": 128, "ip": f"192.168.153.{10 + number}"}
            for name, number in NODES.items()
        ],
    }


def vmcluster(host: LabHost, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return host.run("vmcluster", *arguments, check=check, timeout_s=BOOT_TIMEOUT_S)


def state_of(host: LabHost, node: str) -> str:
    return host.run("virsh", "domstate", names.domain_name(CLUSTER, node)).stdout.strip()


def manifests(hosts: Hosts, name: str) -> list[bool]:
    """Whether each host has its part of a snapshot."""
    place = f"/var/lib/vmcluster/overlays/{CLUSTER}/snapshots/{name}/manifest.json"
    return [host.inside(place).exists() for host in hosts.hosts]


def watch(host: LabHost, logs: Path) -> OnHost:
    with (logs / host.name).open("ab") as output:
        return host.start("vmcluster", "watch", output=output)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watch")


@pytest.fixture(scope="module")
def controllers(hosts: Hosts, logs: Path) -> Iterator[dict[int, OnHost]]:
    with running_over(hosts, logs) as running:
        yield running


@contextmanager
def running_over(hosts: Hosts, logs: Path) -> Iterator[dict[int, OnHost]]:
    """The controllers of all hosts, and the cluster running."""
    for host in hosts.hosts:
        host.run("mount", "-t", "tmpfs", "-o", "mode=0755", "images", str(IMAGE.parent))
        host.run("qemu-img", "create", "-q", "-f", "qcow2", str(IMAGE), "8M")
        host.inside(f"/etc/vmcluster/topologies/{CLUSTER}.yaml").write_text(yaml.safe_dump(document()))
    running = {number: watch(hosts[number], logs) for number in NODES.values()}
    try:
        wait_until(lambda: vmcluster(hosts[1], "host", "list", check=False).stdout.count(" Ready ") == len(NODES))
        vmcluster(hosts[1], "apply", CLUSTER, "--no-wait")
        yield running
        vmcluster(hosts[1], "destroy", CLUSTER, "--remove-overlays", "--yes", check=False)
    finally:
        for controller in running.values():
            controller.kill()
        for host in hosts.hosts:
            host.run("umount", str(IMAGE.parent))


def test_a_snapshot_is_taken_listed_reverted_to_and_deleted_from_any_host(
    hosts: Hosts, controllers: dict[int, OnHost]
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


def journal(host: LabHost) -> str:
    """What the host's snapshot in the making says of itself."""
    place = host.inside(f"/var/lib/vmcluster/overlays/{CLUSTER}/snapshots/torn/journal.json")
    try:
        return place.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("sign", ['"stopped_nodes"', '"manifest": {'], ids=["when it begins", "when it has switched"])
@pytest.mark.parametrize("number", [1, 3], ids=["of the caller", "of another"])
def test_a_controller_that_is_killed_leaves_a_whole_snapshot_or_none_and_nobody_standing(
    hosts: Hosts, controllers: dict[int, OnHost], logs: Path, number: int, sign: str
) -> None:
    asking = subprocess.Popen(
        hosts[1].command("vmcluster", "snapshot", "create", CLUSTER, "torn", "-o", "json"), stdout=subprocess.PIPE
    )
    while asking.poll() is None and sign not in journal(hosts[number]):
        time.sleep(0.002)
    controllers[number].kill()
    controllers[number] = watch(hosts[number], logs)
    output, _ = asking.communicate(timeout=BOOT_TIMEOUT_S)
    whole = asking.returncode == 0
    wait_until(lambda: manifests(hosts, "torn") == [whole] * 3)
    wait_until(lambda: {state_of(hosts[number], node) for node, number in NODES.items()} == {"running"})
    print("killed", number, sign, "->", "whole" if whole else output)
    vmcluster(hosts[3], "snapshot", "delete", CLUSTER, "torn", check=whole)
