"""Reads the host's interfaces, IPv4 addresses and routes. Sample: iproute2 6.1."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from reconciler import process
from reconciler.concurrency import together
from reconciler.model.host_view import Route
from reconciler.process import RunCommand

_TYPES_THAT_LEAD_SOMEWHERE = frozenset({"unicast", "local"})


async def observe_routes(run: RunCommand = process.run) -> tuple[tuple[Route, ...], frozenset[str]]:
    """All routes and addresses except the default route, and the names of all interfaces.

    Raises `HostCapabilityMissing` and `HostCommandFailed`.
    """
    routes, addresses = await together(
        run(["ip", "-json", "-4", "route", "show", "table", "all"]), run(["ip", "-json", "address", "show"])
    )
    found = [*parse_routes(routes.stdout), *parse_addresses(addresses.stdout)]
    return tuple(dict.fromkeys(found)), parse_names(addresses.stdout)


def parse_routes(shown: bytes) -> Iterator[Route]:
    """The routes in `ip -json -4 route show table all` that lead somewhere, except the default one."""
    for route in json.loads(shown or b"[]"):
        leads = route.get("type", "unicast") in _TYPES_THAT_LEAD_SOMEWHERE
        subnet = IPv4Network("0.0.0.0/0" if route["dst"] == "default" else route["dst"])
        if leads and subnet.prefixlen > 0:
            yield Route(subnet, route.get("dev", ""))


def parse_addresses(shown: bytes) -> Iterator[Route]:
    """The IPv4 networks of all interfaces in `ip -json address show`, including those that are down."""
    for interface in json.loads(shown or b"[]"):
        for address in _ipv4_of(interface):
            yield Route(IPv4Interface(f"{address['local']}/{address['prefixlen']}").network, interface["ifname"])


def parse_names(shown: bytes) -> frozenset[str]:
    """The names of all interfaces in `ip -json address show`."""
    return frozenset(interface["ifname"] for interface in json.loads(shown or b"[]") if "ifname" in interface)


def _ipv4_of(interface: dict[str, Any]) -> list[dict[str, Any]]:
    return [address for address in interface.get("addr_info", ()) if address.get("family") == "inet"]
