"""A node that must start from a template does so on each host, whichever host the command runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.hosts.idle_cluster import start_logged, vmcluster
from tests.lab.hosts import Hosts
from tests.waiting import BOOT_TIMEOUT_S, wait_until

pytestmark = pytest.mark.long

CLUSTER = "cloned"


@pytest.fixture
def watched(hosts: Hosts, tmp_path: Path) -> Iterator[Hosts]:
    """The hosts with their controllers, and the topology on the first."""
    document = {
        "cluster_name": CLUSTER,
        "base_image": "/var/lib/vmcluster/images/base.qcow2",
        "start": "clone",
        "network": {"name": "net-cloned", "bridge": "vb-cloned", "subnet": "192.168.156.0/24", "forward": "isolated"},
        "nodes": [
            {"name": f"n{of}", "host": f"host{of}", "vcpus": 1, "memory_mb": 512, "ip": f"192.168.156.1{of}"}
            for of in (1, 2)
        ],
    }
    hosts[1].inside(f"/etc/vmcluster/topologies/{CLUSTER}.yaml").write_text(yaml.safe_dump(document))
    running = [start_logged(host, tmp_path, "vmcluster", "watch") for host in hosts.hosts]
    wait_until(lambda: vmcluster(hosts[1], "host", "list", check=False).stdout.count(" Ready ") == len(running))
    yield hosts
    vmcluster(hosts[1], "destroy", CLUSTER, "--remove-overlays", "--yes", check=False)
    for controller in running:
        controller.kill()


def test_each_host_builds_the_template_of_its_own_node(watched: Hosts) -> None:
    first, second = watched[1], watched[2]
    applied = first.run("vmcluster", "apply", CLUSTER, "--timeout", str(BOOT_TIMEOUT_S), timeout_s=2 * BOOT_TIMEOUT_S)
    print(applied.stdout, applied.stderr)
    for host in (first, second):
        keys = vmcluster(host, "template", "list").stdout
        assert "base.qcow2" in keys, keys
    names = vmcluster(first, "exec", CLUSTER, "--all", "--", "hostname").stdout
    assert sorted(names.split()) == ["n1", "n1:", "n2", "n2:"]
    events = vmcluster(first, "events", CLUSTER).stdout
    assert "building template" in events, events
