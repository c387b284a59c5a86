"""A cluster with a node on each host, whose machines have an empty disk and sit in their firmware.

They run, write nothing and cost nothing.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.lab.hosts import Hosts, LabHost, OnHost
from tests.waiting import BOOT_TIMEOUT_S, wait_until

IMAGE = Path("/var/lib/vmcluster/images/empty.qcow2")


def document(cluster: str, nodes: Mapping[str, int], subnet: str = "192.168.153") -> dict[str, Any]:
    """Its topology, with each node on the host of that number."""
    return {
        "cluster_name": cluster,
        "base_image": str(IMAGE),
        "network": {
            "name": f"net-{cluster}",
            "bridge": f"vb-{cluster}",
            "subnet": f"{subnet}.0/24",
            "forward": "isolated",
        },
        "nodes": [
            {"name": name, "host": f"host{number}", "vcpus": 1, "memory_mb": 128, "ip": f"{subnet}.{10 + number}"}
            for name, number in nodes.items()
        ],
    }


def vmcluster(host: LabHost, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command on a host."""
    return host.run("vmcluster", *arguments, check=check, timeout_s=BOOT_TIMEOUT_S)


def start_logged(host: LabHost, logs: Path, *command: str) -> OnHost:
    """Start a command on a host; what it says is added to the host's log."""
    with (logs / host.name).open("ab") as output:
        return host.start(*command, output=output)


@contextmanager
def running_over(
    hosts: Hosts, cluster: str, nodes: Mapping[str, int], start: Callable[[LabHost], OnHost]
) -> Iterator[dict[str, OnHost]]:
    """The controllers of all hosts by the host's name, each started by `start`, and the cluster running."""
    for host in hosts.hosts:
        host.run("mkdir", "-p", str(IMAGE.parent))
        host.run("mount", "-t", "tmpfs", "-o", "mode=0755", "images", str(IMAGE.parent))
        host.run("qemu-img", "create", "-q", "-f", "qcow2", str(IMAGE), "8M")
        host.inside(f"/etc/vmcluster/topologies/{cluster}.yaml").write_text(yaml.safe_dump(document(cluster, nodes)))
    running = {host.name: start(host) for host in hosts.hosts}
    try:
        wait_until(lambda: vmcluster(hosts[1], "host", "list", check=False).stdout.count(" Ready ") == len(running))
        vmcluster(hosts[1], "apply", cluster, "--no-wait")
        yield running
        vmcluster(hosts[1], "destroy", cluster, "--remove-overlays", "--yes", check=False)
    finally:
        for controller in running.values():
            controller.kill()
        for host in hosts.hosts:
            host.run("umount", str(IMAGE.parent))
