"""An image that one host has, and a node on another: fetched whole, whichever controller is killed meanwhile.

The image is random, so the machine on it sits in its firmware.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model import names
from tests.lab.hosts import Hosts, LabHost, OnHost
from tests.waiting import BOOT_TIMEOUT_S, wait_until

CLUSTER = "carried"
DIRECTORY = Path("/var/lib/vmcluster/images")
IMAGE = DIRECTORY / "carried.qcow2"
SIZE = "192M"
ENOUGH_BYTES = 40 << 20
"""So much of it has come before, that a fetch from the start would tell less again."""

pytestmark = pytest.mark.long


def document(image: Path, host: str) -> dict[str, Any]:
    return {
        "cluster_name": CLUSTER,
        "base_image": str(image),
        "network": {
            "name": f"net-{CLUSTER}",
            "bridge": f"vb-{CLUSTER}",
            "subnet": "192.168.155.0/24",
            "forward": "isolated",
        },
        "nodes": [{"name": "n1", "host": host, "vcpus": 1, "memory_mb": 128, "ip": "192.168.155.11"}],
    }


def write_topology(host: LabHost, image: Path, on: str) -> None:
    host.inside(f"/etc/vmcluster/topologies/{CLUSTER}.yaml").write_text(yaml.safe_dump(document(image, on)))


def watch(host: LabHost, logs: Path) -> OnHost:
    with (logs / host.name).open("ab") as output:
        return host.start("vmcluster", "watch", output=output)


def digest(host: LabHost) -> str:
    return host.run("sha256sum", str(IMAGE)).stdout.split()[0]


def arrived_bytes(host: LabHost) -> int:
    """How much of an image is on a host that it is being sent to."""
    return sum(of.stat().st_size for of in host.inside(DIRECTORY).glob(".vmcluster-*.partial"))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watch")


@pytest.fixture(scope="module")
def controllers(hosts: Hosts, logs: Path) -> Iterator[dict[int, OnHost]]:
    """The controllers of all hosts, of which the first alone has the image."""
    for host in hosts.hosts:
        host.run("mount", "-t", "tmpfs", "-o", "mode=0755", "images", str(DIRECTORY))
    hosts[1].run(
        "sh", "-c", f"head -c {SIZE} /dev/urandom >/run/random && qemu-img convert -O qcow2 /run/random {IMAGE}"
    )
    running = {number: watch(hosts[number], logs) for number in (1, 2, 3)}
    try:
        wait_until(
            lambda: hosts[1].run("vmcluster", "host", "list", check=False).stdout.count(" Ready ") == len(running)
        )
        yield running
        hosts[1].run("vmcluster", "destroy", CLUSTER, "--remove-overlays", "--yes", check=False)
    finally:
        for controller in running.values():
            controller.kill()
        for host in hosts.hosts:
            host.run("umount", str(DIRECTORY))


def test_a_node_starts_on_a_host_that_lacks_its_image_whose_controller_is_killed_as_it_fetches_it(
    hosts: Hosts, controllers: dict[int, OnHost], logs: Path
) -> None:
    first, second = hosts[1], hosts[2]
    write_topology(first, IMAGE, second.name)
    planned = first.run("vmcluster", "plan", CLUSTER, check=False).stdout
    assert f"it fetches {IMAGE} first" in planned
    asking = subprocess.Popen(
        first.command("vmcluster", "apply", CLUSTER, "--no-wait", "--timeout", str(BOOT_TIMEOUT_S), "-o", "json"),
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: arrived_bytes(second) > ENOUGH_BYTES, timeout_s=BOOT_TIMEOUT_S)
    controllers[2].kill()
    had = arrived_bytes(second)
    assert not second.inside(IMAGE).exists()
    assert second.run("virsh", "list", "--all", "--name").stdout.split() == [], "nothing else was touched"
    controllers[2] = watch(second, logs)
    output, _ = asking.communicate(timeout=BOOT_TIMEOUT_S)
    assert asking.returncode == 0, output
    assert digest(second) == digest(first)
    assert arrived_bytes(second) == 0
    assert second.run("virsh", "list", "--name").stdout.split() == [names.domain_name(CLUSTER, "n1")]
    events = json.loads(first.run("vmcluster", "events", CLUSTER, "-o", "json").stdout)
    told = [of["message"] for of in events if of["subject"] == f"FetchImage {IMAGE.name}" and of["host"] == second.name]
    print("killed at", had, "bytes;", told)
    assert told[-1] == f"fetched from {first.name}"
    shares = [int(of.split()[0]) for of in told[:-1]]
    assert shares == sorted(shares), "it did not begin again"


def test_an_image_that_no_host_can_give_is_refused_by_name(hosts: Hosts, controllers: dict[int, OnHost]) -> None:
    first = hosts[1]
    apart = Path("/var/lib/vmcluster/disks/apart.qcow2")
    first.run("cp", str(IMAGE), str(apart))
    write_topology(first, apart, hosts[3].name)
    refused = first.run("vmcluster", "apply", CLUSTER, "--allow-data-loss", check=False)
    assert f"{hosts[3].name}: it has no image {apart}" in refused.stderr, refused
    assert hosts[3].run("virsh", "list", "--all", "--name").stdout.split() == []
