"""Samples of what iproute2 shows of a tunnel; they are taken in the network namespace that this process is in."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Interface
from subprocess import run

from reconciler.host.tunnel.tunnel_codec import (
    render_creation,
    render_own_address,
    render_peers,
    render_plugging,
    render_question,
    render_removal,
)
from reconciler.model.document import Network, Tunnel
from reconciler.model.names import tunnel_name
from reconciler.model.topology import Forward
from tests.golden_samples import UNIT_TESTS, Sample

GOLDEN = UNIT_TESTS / "tunnel" / "golden"
CLUSTER = "lab"
TUNNEL = Tunnel(
    vni=7,
    port=4789,
    local="10.88.0.254",
    peers=("10.88.0.1", "10.88.0.2"),
    mtu=1450,
    bridge="vb0",
    gateway="192.168.100.1",
    own_address="192.168.100.254",
)
NETWORK = Network(
    bridge="vb0", gateway="192.168.100.1", prefix_length=24, forward=Forward.NAT, active=True, tunnel=TUNNEL
)
LEARNED = ("52:00:00:00:00:0c", "10.88.0.9")


def take() -> Iterator[Sample]:
    """The port with its routes, and where it sends frames; afterwards there is no bridge."""
    (version,) = re.findall(r"iproute2-([0-9.]+)", _call("ip", "-V"))
    gateway = IPv4Interface(f"{NETWORK.gateway}/{NETWORK.prefix_length}")
    _ip(
        f"link add {NETWORK.bridge} type bridge\n"
        f"address add {gateway} dev {NETWORK.bridge}\n"
        f"link set {NETWORK.bridge} up\n"
    )
    _ip(render_creation(CLUSTER, TUNNEL))
    name, (address, host) = tunnel_name(CLUSTER), LEARNED
    learned = f"fdb append {address} dev {name} dst {host} dynamic\n"
    _call("bridge", "-batch", "-", stdin=render_peers(CLUSTER, (), TUNNEL.peers) + learned)
    _ip(render_plugging(CLUSTER, NETWORK, TUNNEL))
    _ip(render_own_address(NETWORK, None, TUNNEL.own_address))
    shown = _call("ip", "-json", "-details", "-force", "-batch", "-", stdin=render_question(CLUSTER, NETWORK.bridge))
    yield Sample(GOLDEN / f"link.iproute2-{version}.txt", shown)
    yield Sample(GOLDEN / f"fdb.iproute2-{version}.json", _call("bridge", "-json", "fdb", "show", "dev", name))
    _ip(render_removal(CLUSTER) + f"link delete {NETWORK.bridge}\n")


def _ip(batch: str) -> None:
    _call("ip", "-batch", "-", stdin=batch)


def _call(*command: str, stdin: str = "") -> str:
    done = run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
