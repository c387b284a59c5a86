"""One cluster with a node on each of three hosts: what holds on one host holds over three, from wherever it is asked.

The tests run in order on one cluster, which is booted once; each leaves it as it was.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.model import names
from tests.integration.bed import BASE_IMAGE
from tests.lab.hosts import Hosts, LabHost, OnHost
from tests.waiting import BOOT_TIMEOUT_S, wait_until

CLUSTER = "wide"
NODES = {"n1": 1, "n2": 2, "n3": 3}
BRIDGE = f"vb-{CLUSTER}"
LONE = "lone"
"""A cluster of one node, on the first host."""

pytestmark = pytest.mark.long


def document(cluster: str, subnet: int, nodes: dict[str, int]) -> dict[str, Any]:
    network = {"name": f"net-{cluster}", "bridge": f"vb-{cluster}", "forward": "isolated"}
    return {
        "cluster_name": cluster,
        "base_image": str(BASE_IMAGE),
        "network": {**network, "subnet": f"192.168.{subnet}.0/24"},
        "nodes": [
            {
                "name": name,
                "host": f"host{number}",
                "vcpus": 1,
                "memory_mb": 512,
                "ip": f"192.168.{subnet}.{10 + number}",
            }
            for name, number in nodes.items()
        ],
    }


def vmcluster(host: LabHost, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return host.run("vmcluster", *arguments, check=check, timeout_s=BOOT_TIMEOUT_S)


def answer(host: LabHost, *arguments: str, check: bool = True) -> Any:
    """What a command answers, as JSON."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return json.loads(vmcluster(host, *arguments[:end], "-o", "json", *arguments[end:], check=check).stdout)


def on_all(host: LabHost, command: str) -> dict[str, str]:
    """What a command prints on each node, asked from one host."""
    said = answer(host, "exec", CLUSTER, "--all", "--", command)
    return {node: of["stdout"].strip() for node, of in said["results"].items()}


def hears(host: LabHost, sender: str, receiver: str) -> bool:
    done = vmcluster(host, "exec", CLUSTER, sender, "--", f"ping -q -c 2 -i 0.3 -W 3 {receiver}", check=False)
    return done.returncode == 0


def tunnel_of(host: LabHost, cluster: str = CLUSTER) -> str:
    return host.run("ip", "-brief", "link", "show", "dev", names.tunnel_name(cluster), check=False).stdout


def peers_of(host: LabHost, cluster: str) -> set[str]:
    """The hosts that a host sends a cluster's frames to."""
    shown = host.run("bridge", "-json", "fdb", "show", "dev", names.tunnel_name(cluster), check=False).stdout
    return {of["dst"] for of in json.loads(shown or "[]") if "dst" in of}


def states_from(host: LabHost) -> dict[str, tuple[str, bool]]:
    """Each node as a host sees it: its power, and whether it can be logged in to."""
    return {of["name"]: (of["domain_state"], of["ssh_reachable"]) for of in answer(host, "status", CLUSTER)["nodes"]}


@pytest.fixture(scope="module")
def watched(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """The hosts, each with its controller, and the cluster booted."""
    logs, running = tmp_path_factory.mktemp("watch"), list[OnHost]()
    for host in hosts.hosts:
        for topology in (document(CLUSTER, 152, NODES), document(LONE, 154, {"n1": 1})):
            place = f"/etc/vmcluster/topologies/{topology['cluster_name']}.yaml"
            host.inside(place).write_text(yaml.safe_dump(topology))
        with (logs / host.name).open("wb") as output:
            running.append(host.start("vmcluster", "watch", output=output))
    wait_until(lambda: vmcluster(hosts[1], "host", "list", check=False).stdout.count(" Ready ") == len(NODES))
    vmcluster(hosts[1], "apply", LONE, "--no-wait")
    vmcluster(hosts[1], "apply", CLUSTER, "--timeout", str(BOOT_TIMEOUT_S))
    yield hosts
    for cluster in (CLUSTER, LONE):
        vmcluster(hosts[2], "destroy", cluster, "--remove-overlays", "--yes", check=False)
    for controller in running:
        controller.kill()


def test_each_host_has_its_node_and_all_know_all(watched: Hosts) -> None:
    for name, number in NODES.items():
        listed = watched[number].run("virsh", "list", "--name").stdout.split()
        assert [of for of in listed if LONE not in of] == [names.domain_name(CLUSTER, name)]
    all_well = dict.fromkeys(NODES, ("running", True))
    for host in watched.hosts:
        wait_until(lambda: states_from(host) == all_well)  # noqa: B023 - called before the next host's turn


def test_commands_run_on_every_node_from_every_host_with_the_mtu_of_the_tunnel(watched: Hosts) -> None:
    for host in watched.hosts:
        assert on_all(host, "hostname; cat /sys/class/net/eth0/mtu") == {name: f"{name}\n1450" for name in NODES}
    assert hears(watched[1], "n2", "n3")


def test_a_partition_between_hosts_is_total_measured_and_healed(watched: Hosts) -> None:
    vmcluster(watched[3], "fault", "partition", CLUSTER, "n1", "n2,n3")
    assert not hears(watched[2], "n1", "n2")
    assert not hears(watched[2], "n3", "n1")
    assert hears(watched[2], "n2", "n3")
    verdicts = answer(watched[1], "fault", "verify", CLUSTER)["links"]
    assert {of["verdict"] for of in verdicts} == {"confirmed"}
    vmcluster(watched[1], "fault", "heal", CLUSTER, "--all")
    assert hears(watched[2], "n1", "n2")


def test_files_and_kernel_logs_come_from_nodes_on_other_hosts(watched: Hosts, tmp_path: Path) -> None:
    marks = answer(watched[2], "dmesg", "mark", CLUSTER)
    assert marks.keys() == NODES.keys()
    collected = answer(watched[3], "dmesg", "collect", CLUSTER, "--since", next(iter(marks.values())), check=False)
    assert collected.keys() == NODES.keys()
    watched[1].run("sh", "-c", "echo carried >/run/carried")
    vmcluster(watched[1], "push", CLUSTER, "/run/carried", "/root/carried", "--nodes", "n3")
    assert vmcluster(watched[2], "exec", CLUSTER, "n3", "--", "cat /root/carried").stdout == "carried\n"


def test_a_host_without_a_node_joins_the_network_to_use_it_and_is_out_of_it_with_the_cluster(
    watched: Hosts, tmp_path: Path
) -> None:
    first, second, visitor = watched.hosts
    vmcluster(first, "apply", LONE, "--timeout", str(BOOT_TIMEOUT_S))
    assert tunnel_of(first, LONE) == tunnel_of(visitor, LONE) == "", "nobody has used it from elsewhere"
    assert vmcluster(visitor, "exec", LONE, "n1", "--", "cat /sys/class/net/eth0/mtu").stdout == "1450\n"
    assert peers_of(visitor, LONE) == {first.address}
    wait_until(lambda: peers_of(first, LONE) == {visitor.address})
    visitor.run("sh", "-c", "echo carried >/run/carried")
    vmcluster(visitor, "push", LONE, "/run/carried", "/root/carried")
    vmcluster(visitor, "pull", LONE, "n1", "/root/carried", "/run/carried-back")
    assert visitor.inside("/run/carried-back").read_text() == "carried\n"
    marks = answer(visitor, "dmesg", "mark", LONE)
    vmcluster(visitor, "exec", LONE, "n1", "--", "echo '<4>from the guest' >/dev/kmsg")
    collected = answer(visitor, "dmesg", "collect", LONE, "--since", marks["n1"], check=False)
    assert "from the guest" in [of["text"] for of in collected["n1"]["lines"]]
    assert answer(visitor, "handle", LONE)["kernel_version"]
    assert vmcluster(visitor, "ssh", LONE, "n1", "hostname").stdout == "n1\n"
    wait_until(lambda: answer(visitor, "status", LONE)["nodes"][0]["ssh_reachable"])  # it gives a busy node 5 s
    assert tunnel_of(second, LONE) == "", "a host that does not use it has no part in it"
    assert answer(second, "status", LONE)["network_active"]
    vmcluster(second, "destroy", LONE, "--remove-overlays", "--yes")
    for host in watched.hosts:
        assert tunnel_of(host, LONE) == ""
        assert f"vb-{LONE}" not in host.run("ip", "-brief", "link").stdout


def test_a_tunnel_that_somebody_takes_away_comes_back_by_itself(watched: Hosts) -> None:
    watched[2].run("ip", "link", "delete", names.tunnel_name(CLUSTER))
    wait_until(lambda: "UNKNOWN" in tunnel_of(watched[2]))
    wait_until(lambda: hears(watched[2], "n2", "n1"))


def test_a_snapshot_with_memory_is_of_all_hosts_and_reverts_all_of_them(watched: Hosts) -> None:
    vmcluster(watched[1], "snapshot", "create", CLUSTER, "before", "--memory")
    on_all(watched[2], "touch /root/after")
    vmcluster(watched[3], "snapshot", "revert", CLUSTER, "before", "--yes", "--timeout", str(BOOT_TIMEOUT_S))
    assert on_all(watched[1], "test -e /root/after || echo as before") == dict.fromkeys(NODES, "as before")
    vmcluster(watched[2], "snapshot", "delete", CLUSTER, "before")


def test_a_host_that_is_cut_off_is_missed_and_converges_when_it_is_back(watched: Hosts) -> None:
    others = ("host1", "host2", "etcd1", "etcd2", "etcd3")
    watched.separate((("host3",), others))
    wait_until(lambda: " Lost " in vmcluster(watched[1], "host", "list").stdout)
    missed = {of["type"]: of for of in answer(watched[1], "status", CLUSTER, check=False)["conditions"]}
    assert "HostLost" in {of["reason"] for of in missed.values()}
    assert vmcluster(watched[1], "exec", CLUSTER, "n2", "--", "true").returncode == 0
    watched.separate()
    wait_until(lambda: " Lost " not in vmcluster(watched[1], "host", "list").stdout)
    vmcluster(watched[1], "apply", CLUSTER, "--timeout", str(BOOT_TIMEOUT_S))
    assert hears(watched[1], "n1", "n3")


def test_a_destroyed_cluster_leaves_nothing_on_any_host(watched: Hosts) -> None:
    vmcluster(watched[2], "destroy", CLUSTER, "--remove-overlays", "--yes")
    for host in watched.hosts:
        assert host.run("virsh", "list", "--all", "--name").stdout.split() == []
        assert BRIDGE not in host.run("ip", "-brief", "link").stdout
        assert tunnel_of(host) == ""
        assert "vmtunnel" not in host.run("nft", "list", "tables").stdout
        assert host.run("find", "/var/lib/vmcluster/overlays", "-mindepth", "1").stdout == ""
