"""What a test has a host do with a tunnel: `python -m tests.integration.hosts.joined_bridges VERB ...`, on the host.

A bridge stands for libvirt's, and a network namespace `guest` on a tap for a machine.
"""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from reconciler.host.firewall.nftables_codec import render_transaction
from reconciler.host.tunnel.tunnel_codec import subnet_of
from reconciler.host.tunnel.tunnel_driver import observe_tunnel, remove_tunnel, set_tunnel
from reconciler.model.document import Network, Tunnel
from reconciler.model.links import FirewallState, TapPair
from reconciler.model.topology import Forward

CLUSTER = "joined"
BRIDGE = "vb-joined"
TAP = "vmc-guest"
GATEWAY = "192.168.77.1"
PORT = 7000
IPV6 = "fd88::"
_COUNTER = "crossed"


def guest_address(number: int) -> str:
    """The address of the guest on a host."""
    return f"192.168.77.{10 + number}"


def own_address(number: int) -> str:
    """The address that a host has for itself beside the gateway's."""
    return str(IPv4Address("192.168.77.255") - number)


def guest_mac(number: int) -> str:
    return f"52:00:00:00:00:{number:02x}"


def tunnel(number: int, *others: int, network: str = "10.88.0.", mtu: int = 1450) -> Tunnel:
    """The tunnel of a host, to some others, over the network that the hosts are on."""
    return Tunnel(
        vni=77,
        port=4789,
        local=f"{network}{number}",
        peers=tuple(sorted(f"{network}{other}" for other in others)),
        mtu=mtu,
        bridge=BRIDGE,
        gateway=GATEWAY,
        own_address=own_address(number),
    )


def tunnel_over_ipv6(number: int, *others: int) -> Tunnel:
    """The same over another network that the hosts are on."""
    return tunnel(number, *others, network=IPV6, mtu=1430)


def network(joined: Tunnel | None) -> Network:
    return Network(
        bridge=BRIDGE, gateway=GATEWAY, prefix_length=24, forward=Forward.ISOLATED, active=True, tunnel=joined
    )


def make_bridge(number: int) -> None:
    """A bridge with the gateway's address and a fixed MAC, as libvirt makes one, and a guest on it that serves."""
    _ip(f"link add {BRIDGE} address 52:54:00:00:00:{number:02x} type bridge")
    _ip(f"address add {GATEWAY}/24 dev {BRIDGE}")
    _ip(f"link set {BRIDGE} up")
    _ip("netns add guest")
    _ip(f"link add {TAP} type veth peer name eth0 address {guest_mac(number)} netns guest")
    _ip(f"link set {TAP} master {BRIDGE} up")
    _ip("-netns guest link set eth0 mtu 1450 up")
    _ip("-netns guest link set lo up")
    _ip(f"-netns guest address add {guest_address(number)}/24 dev eth0")


def remove_bridge() -> None:
    subprocess.run(["ip", "netns", "delete", "guest"], check=False, capture_output=True)
    for name in (TAP, BRIDGE):
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def set_to(number: int, *others: int) -> None:
    asyncio.run(set_tunnel(CLUSTER, network(tunnel(number, *others))))


def set_to_over_ipv6(number: int, *others: int) -> None:
    """The same, after the host has its address there."""
    _ip(f"address replace {IPV6}{number}/64 dev uplink nodad")
    asyncio.run(set_tunnel(CLUSTER, network(tunnel_over_ipv6(number, *others))))


def take_apart() -> None:
    """As for a network that is no longer on any other host."""
    asyncio.run(set_tunnel(CLUSTER, network(None)))


def remove() -> None:
    """As when the network is deleted."""
    asyncio.run(remove_tunnel(CLUSTER))


def show() -> None:
    found = asyncio.run(observe_tunnel(CLUSTER, BRIDGE, subnet_of(network(None))))
    print("null" if found is None else found.model_dump_json())


def cut(sender: int, seconds: int) -> None:
    """Cut this host's guest off from another host's, for some seconds."""
    now = datetime.now(UTC)
    cuts = {TapPair(guest_mac(sender), TAP): now + timedelta(seconds=seconds)}
    subprocess.run(["nft", "-f", "-"], input=render_transaction(CLUSTER, FirewallState(cuts), now).encode(), check=True)


def count_crossing(port: str) -> None:
    """Count from now on what comes in by the tunnel and is ARP about the gateway, before anything else sees it."""
    rules = "".join(f'iifname "{port}" arp {end} ip {GATEWAY} counter\n' for end in ("saddr", "daddr"))
    text = f"table bridge {_COUNTER} {{\nchain early {{\ntype filter hook prerouting priority -400;\n{rules}}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


if __name__ == "__main__":
    verb, *numbers = sys.argv[1:]
    globals()[verb](*(int(each) if each.isdigit() else each for each in numbers))
