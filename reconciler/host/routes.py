"""Reads the host's interfaces, IPv4 addresses and routes. Sample: iproute2 6.1."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from reconciler import process
from reconciler.concurrency import together
from reconciler.model.host_view import Route
from reconciler.process import RunCommand

_LEADS_NOWHERE = {"unicast": False, "local": False, "blackhole": True, "unreachable": True, "prohibit": True}
"""By the type of a route; other types say nothing about whether addresses are free."""


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
    """The routes in `ip -json -4 route show table all`, except the default one."""
    for route in json.loads(shown or b"[]"):
        leads_nowhere = _LEADS_NOWHERE.get(route.get("type", "unicast"))
        subnet = IPv4Network("0.0.0.0/0" if route["dst"] == "default" else route["dst"])
        if leads_nowhere is not None and subnet.prefixlen > 0:
            yield Route(subnet, route.get("dev", ""), leads_nowhere)


def parse_addresses(shown: bytes) -> Iterator[Route]:
    """The IPv4 networks of all interfaces in `ip -json address show`, including those that are down."""
    for interface in json.loads(shown or b"[]"):
        for address in _ipv4_of(interface):
            yield Route(IPv4Interface(f"{address['local']}/{address['prefixlen']}").network, interface["ifname"])


def parse_names(shown: bytes) -> frozenset[str]:
    """The names of all interfaces in `ip -json address show`; one can have several."""
    named = (interface for interface in json.loads(shown or b"[]") if "ifname" in interface)
    return frozenset(name for of in named for name in (of["ifname"], *of.get("altnames", ())))


def _ipv4_of(interface: dict[str, Any]) -> list[dict[str, Any]]:
    return [address for address in interface.get("addr_info", ()) if address.get("family") == "inet"]
