"""Tunnels between hosts in their kernels: who reaches whom, what never crosses, and what is repaired and removed."""

import json
import sys
from collections.abc import Iterator

import pytest

from reconciler.model import names
from reconciler.model.document import Tunnel
from tests.integration.hosts import joined_bridges as bridges
from tests.lab.hosts import Hosts, LabHost
from tests.waiting import wait_until

NUMBERS = (1, 2, 3)
PORT_NAME = names.tunnel_name(bridges.CLUSTER)
SERVE = f"import socket; s = socket.create_server(('', {bridges.PORT})); [s.accept()[0].close() for _ in iter(int, 1)]"
ASK = f"import socket, sys; socket.create_connection((sys.argv[1], {bridges.PORT}), timeout=3)"
SAY = "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 9))"
REPLACE = (
    f"ip link delete {PORT_NAME}; ip link add {PORT_NAME} type vxlan id 5 dstport 4789 local 10.88.0.1; "
    f"ip link set {PORT_NAME} alias vmcluster-{bridges.CLUSTER}"
)
IN_GUEST = ("ip", "netns", "exec", "guest")


def on(host: LabHost, verb: str, *numbers: int | str) -> str:
    return host.run(sys.executable, "-m", "tests.integration.hosts.joined_bridges", verb, *map(str, numbers)).stdout


def seen(host: LabHost) -> Tunnel | None:
    shown = json.loads(on(host, "show").splitlines()[-1])
    return None if shown is None else Tunnel.model_validate(shown)


def reaches(host: LabHost, address: str, *prefix: str) -> bool:
    return host.run(*prefix, sys.executable, "-c", ASK, address, check=False).returncode == 0


def comes_to_reach(host: LabHost, address: str, *prefix: str) -> None:
    wait_until(lambda: reaches(host, address, *prefix))


def neighbour(host: LabHost, address: str) -> str:
    """The MAC address by which the host's guest knows another machine, asked for again."""
    host.run(*IN_GUEST, "ip", "neigh", "flush", "all")
    host.run(*IN_GUEST, sys.executable, "-c", SAY, address)
    shown: list[dict[str, str]] = []

    def known() -> bool:
        shown[:] = json.loads(host.run(*IN_GUEST, "ip", "-json", "neigh", "show", "to", address).stdout or "[]")
        return bool(shown) and "lladdr" in shown[0]

    wait_until(known)
    return shown[0]["lladdr"]


@pytest.fixture(scope="module")
def joined(hosts: Hosts) -> Iterator[Hosts]:
    """Three hosts with a bridge and a serving guest each, and tunnels, which every test leaves as they were."""
    servers = []
    for number in NUMBERS:
        host = hosts[number]
        on(host, "make_bridge", number)
        servers.append(host.start(*IN_GUEST, sys.executable, "-c", SERVE))
        on(host, "set_to", number, *(other for other in NUMBERS if other != number))
    yield hosts
    for server in servers:
        server.kill()
    for host in hosts.hosts:
        on(host, "remove")
        on(host, "remove_bridge")
        host.run("nft", "flush", "ruleset")


def test_guests_and_hosts_reach_every_guest_and_each_has_its_own_gateway(joined: Hosts) -> None:
    for number in NUMBERS:
        assert seen(joined[number]) == bridges.tunnel(number, *(other for other in NUMBERS if other != number))
        on(joined[number], "count_crossing", PORT_NAME)
    for number in NUMBERS:
        for other in NUMBERS:
            address = bridges.guest_address(other)
            comes_to_reach(joined[number], address)
            assert reaches(joined[number], address, *IN_GUEST)
        assert neighbour(joined[number], bridges.GATEWAY) == f"52:54:00:00:00:{number:02x}"
    for number in NUMBERS:
        counted = joined[number].run("nft", "list", "table", "bridge", "crossed").stdout
        assert counted.count("counter packets 0 bytes 0") == 2, counted


def test_a_sender_on_another_host_is_cut_by_its_address_until_the_time_is_over(joined: Hosts) -> None:
    first, second, third = (joined[number] for number in NUMBERS)
    target = bridges.guest_address(2)
    for host in (first, third):
        comes_to_reach(host, target, *IN_GUEST)
    on(second, "cut", 1, 8)
    assert not reaches(first, target, *IN_GUEST)
    assert reaches(third, target, *IN_GUEST)
    assert reaches(first, target), "the host itself is not cut off"
    comes_to_reach(first, target, *IN_GUEST)


@pytest.mark.parametrize(
    "damage",
    [
        f"ip link delete {PORT_NAME}",
        f"ip link set {PORT_NAME} nomaster",
        f"ip link set {PORT_NAME} down",
        f"ip link set {PORT_NAME} mtu 1400",
        f"bridge fdb delete 00:00:00:00:00:00 dev {PORT_NAME} dst 10.88.0.2",
        f"bridge fdb append 00:00:00:00:00:00 dev {PORT_NAME} dst 10.88.0.9",
        "nft flush ruleset",
        f"ip address delete {bridges.own_address(1)}/32 dev {bridges.BRIDGE}",
        REPLACE,
    ],
)
def test_what_is_damaged_is_seen_and_set_again(joined: Hosts, damage: str) -> None:
    host, want = joined[1], bridges.tunnel(1, 2, 3)
    host.run("sh", "-c", damage)
    assert seen(host) != want
    on(host, "set_to", 1, 2, 3)
    assert seen(host) == want
    comes_to_reach(host, bridges.guest_address(2))


def test_hosts_that_know_each_other_by_ipv6_are_joined_as_well_and_changed_over_while_guests_run(joined: Hosts) -> None:
    others = {number: tuple(other for other in NUMBERS if other != number) for number in NUMBERS}
    for number in NUMBERS:
        on(joined[number], "set_to_over_ipv6", number, *others[number])
    for number in NUMBERS:
        assert seen(joined[number]) == bridges.tunnel_over_ipv6(number, *others[number])
        for other in NUMBERS:
            comes_to_reach(joined[number], bridges.guest_address(other))
            comes_to_reach(joined[number], bridges.guest_address(other), *IN_GUEST)
        assert neighbour(joined[number], bridges.GATEWAY) == f"52:54:00:00:00:{number:02x}"
    host = joined[1]
    host.run("bridge", "fdb", "delete", "00:00:00:00:00:00", "dev", PORT_NAME, "dst", f"{bridges.IPV6}2")
    assert seen(host) != bridges.tunnel_over_ipv6(1, 2, 3)
    on(host, "set_to_over_ipv6", 1, 2, 3)
    assert seen(host) == bridges.tunnel_over_ipv6(1, 2, 3)
    for number in NUMBERS:
        on(joined[number], "set_to", number, *others[number])
    comes_to_reach(host, bridges.guest_address(2), *IN_GUEST)


def test_a_tunnel_that_is_not_wanted_leaves_nothing(joined: Hosts) -> None:
    host = joined[1]
    on(host, "take_apart")
    assert seen(host) is None
    assert "vmtunnel" not in host.run("nft", "list", "tables").stdout
    addresses = host.run("ip", "-brief", "address", "show", "dev", bridges.BRIDGE).stdout
    assert bridges.own_address(1) not in addresses
    assert reaches(host, bridges.guest_address(1)), "the host still has a route to its own guest"
    on(host, "set_to", 1, 2, 3)


def test_a_network_that_is_deleted_after_its_port_leaves_no_table(joined: Hosts) -> None:
    host = joined[1]
    host.run("ip", "link", "delete", PORT_NAME)
    on(host, "remove")
    assert "vmtunnel" not in host.run("nft", "list", "tables").stdout
    on(host, "set_to", 1, 2, 3)
    assert seen(host) == bridges.tunnel(1, 2, 3)


def test_somebody_elses_interface_of_that_name_is_left_alone(joined: Hosts) -> None:
    host = joined[1]
    host.run("ip", "link", "set", PORT_NAME, "alias", "theirs")
    for verb in (("set_to", "1", "2"), ("take_apart",), ("show",)):
        done = host.run(sys.executable, "-m", "tests.integration.hosts.joined_bridges", *verb, check=False)
        assert done.returncode != 0
        assert "was not created by vmcluster" in done.stderr
    assert "alias theirs" in host.run("ip", "link", "show", "dev", PORT_NAME).stdout
    host.run("ip", "link", "set", PORT_NAME, "alias", f"vmcluster-{bridges.CLUSTER}")
    assert seen(host) == bridges.tunnel(1, 2, 3)
