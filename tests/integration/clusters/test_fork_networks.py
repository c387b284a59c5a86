"""The host's address in the network of a fork, in the kernel: a bridge of an origin and one of a fork, the same subnet.

Behind each is a network namespace with the same address, which answers with its name.
"""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from typing import Literal

import pytest

from reconciler.errors import Conflict
from reconciler.guest.bound_socket import open_bound_socket
from reconciler.host.fork_network.fork_network_driver import join_network, leave_network
from reconciler.host.tap import tap_exists
from reconciler.host.tunnel.tunnel_driver import set_tunnel
from reconciler.model import names
from reconciler.model.document import HostAddress, Network, Tunnel
from reconciler.model.topology import Forward
from tests.waiting import wait_until

SUBNET, GATEWAY, GUEST, OWN = "192.168.177.0/24", "192.168.177.1", "192.168.177.11", "192.168.177.254"
PORT = 7000
ORIGIN = "vb-origin"
FORK, LOSER = names.fork_bridge("winner"), names.fork_bridge("loser")
SERVE = f"""
import socket, sys
server = socket.create_server(("", {PORT}))
while True:
    with server.accept()[0] as client:
        client.sendall(sys.argv[1].encode())
"""
NO_ANSWER = "no answer"


def ip(command: str) -> str:
    return subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True).stdout


def wanted(bridge: str) -> HostAddress:
    return HostAddress(address=OWN, subnet=SUBNET, bridge=bridge)


def who_answers(*, device: str | None) -> str:
    """The name of the guest that a connection from the host's address in the fork leads to."""
    try:
        with open_bound_socket(GUEST, OWN, device) as sock:
            sock.settimeout(3)
            sock.connect((GUEST, PORT))
            return sock.recv(100).decode()
    except OSError:
        return NO_ANSWER


def server_in(guest: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["ip", "netns", "exec", guest, sys.executable, "-c", SERVE, guest])


def rules() -> str:
    return ip(f"rule show from {OWN}")


def routes() -> str:
    return ip(f"route show table {int(IPv4Address(OWN))}")


@pytest.fixture
async def bridges() -> AsyncIterator[None]:
    """An origin's bridge with the gateway's address, a fork's with the host's own, and an empty one of another fork."""
    servers = []
    for bridge, guest in ((ORIGIN, "origin"), (FORK, "fork")):
        ip(f"link add {bridge} type bridge")
        ip(f"link set {bridge} up")
        ip(f"netns add {guest}")
        ip(f"link add t-{guest} type veth peer name eth0 netns {guest}")
        ip(f"link set t-{guest} master {bridge} up")
        for command in ("link set lo up", "link set eth0 up", f"address add {GUEST}/24 dev eth0"):
            ip(f"-netns {guest} {command}")
        servers.append(server_in(guest))
    ip(f"address add {GATEWAY}/24 dev {ORIGIN}")
    ip(f"link add {LOSER} type bridge")
    await join_network(FORK, wanted(FORK))
    wait_until(lambda: who_answers(device=FORK) == "fork")
    yield
    for server in servers:
        server.kill()
        server.wait()
    await leave_network("winner", IPv4Address(OWN))
    for bridge, guest in ((ORIGIN, "origin"), (FORK, "fork")):
        for command in (f"link delete t-{guest}", f"netns delete {guest}", f"link delete {bridge}"):
            ip(command)
    ip(f"link delete {LOSER}")
    assert (rules(), routes()) == ("", ""), "nothing of it stays"


Loss = Literal["rule", "route", "both"]


def lose(what: Loss) -> None:
    if what != "route":
        ip(f"rule delete from {OWN}")
    if what != "rule":
        ip(f"link set {FORK} down")
        ip(f"link set {FORK} up")


@pytest.mark.parametrize("what", ["rule", "route", "both"])
async def test_what_is_for_a_fork_never_reaches_its_origin_whatever_route_is_lost(bridges: None, what: Loss) -> None:
    with socket.create_connection((GUEST, PORT), timeout=3) as unbound:
        assert unbound.recv(100) == b"origin"
    lose(what)
    assert who_answers(device=FORK) in {"fork", NO_ANSWER}
    await join_network(FORK, wanted(FORK))
    wait_until(lambda: who_answers(device=FORK) == "fork")
    assert who_answers(device=None) == "fork"


async def test_also_a_program_that_only_chooses_its_address_does_not_reach_the_origin_when_the_route_is_lost(
    bridges: None,
) -> None:
    lose("route")
    assert who_answers(device=None) == NO_ANSWER


async def test_a_fork_that_lost_the_race_for_an_address_leaves_the_winner_its_rule(bridges: None) -> None:
    before = rules(), routes()
    with pytest.raises(Conflict, match=f"{OWN} is already the host's address on {FORK}"):
        await join_network(LOSER, wanted(LOSER))
    await leave_network("loser", IPv4Address(OWN))
    assert (rules(), routes()) == before
    assert who_answers(device=None) == "fork"
    lose("route")
    await leave_network("loser", IPv4Address(OWN))
    assert rules() == before[0], "the address alone says whose it is"


async def test_an_address_that_the_host_has_elsewhere_is_not_taken(bridges: None) -> None:
    """As of a tunnel to another host's part of a cluster with the same subnet."""
    await leave_network("winner", IPv4Address(OWN))
    ip(f"address delete {OWN}/32 dev {FORK}")
    ip(f"address add {OWN}/32 dev {ORIGIN}")
    with pytest.raises(Conflict, match=ORIGIN):
        await join_network(FORK, wanted(FORK))
    assert who_answers(device=None) == "origin"


async def test_a_tunnel_is_not_joined_by_an_address_that_the_host_has_in_a_fork(bridges: None) -> None:
    tunnel = Tunnel(
        vni=77,
        port=4789,
        local="127.0.0.1",
        peers=(),
        mtu=1450,
        bridge=ORIGIN,
        gateway=GATEWAY,
        own_address=OWN,
    )
    network = Network(
        bridge=ORIGIN, gateway=GATEWAY, prefix_length=24, forward=Forward.ISOLATED, active=True, tunnel=tunnel
    )
    with pytest.raises(Conflict, match=f"{OWN} is already the host's address on {FORK}"):
        await set_tunnel("origin", network)
    assert not tap_exists(names.tunnel_name("origin"))
    assert who_answers(device=None) == "fork"


async def test_a_fork_that_goes_leaves_no_rule_to_a_tunnel_with_the_same_address(bridges: None) -> None:
    ip(f"address add {OWN}/32 dev {ORIGIN}")
    await leave_network("winner", IPv4Address(OWN))
    assert rules() == ""
    assert who_answers(device=None) == "origin"
