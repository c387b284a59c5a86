"""The host's address in the network of a fork as the words of iproute2, and as what they show. Pure.

The subnet is on several bridges, so no route by destination can tell them apart. The host has a different address in
each fork's network, and a rule by source: what is sent from that address finds its route in a table of its own, whose
number is the address. Nothing changes for what is sent from other addresses, and libvirt, which refuses a network whose
subnet has a route already, does not see that table.

Facts: ip-rule(8), ip-route(8); samples of iproute2 6.1 on Linux 6.18.
"""

import json
from ipaddress import IPv4Address
from typing import Any

from reconciler.model.document import HostAddress

_PREFERENCE = 1000
"""Before the rules of VPNs, which lead all that is not theirs to the main table."""


def routing_table_of(address: str) -> int:
    """The number of the routing table for what is sent from an address."""
    return int(IPv4Address(address))


def render_fork_question(address: str, bridge: str) -> str:
    """The input of `ip -json -force -batch -` that shows the rule, the route, and the address."""
    table = routing_table_of(address)
    return f"rule show from {address} table {table}\nroute show table {table}\naddress show dev {bridge}\n"


def parse_host_address(shown: bytes, address: str, subnet: str, bridge: str) -> HostAddress | None:
    """What there is of the host's address, from the answer to `render_fork_question`; None if there is nothing.

    Raises `ValueError` if the answer cannot be read.
    """
    entries = _entries(shown)
    rule = (address, str(routing_table_of(address)))
    ruled = any((entry.get("src"), str(entry.get("table"))) == rule for entry in entries)
    routed = any((entry.get("dst"), entry.get("dev")) == (subnet, bridge) for entry in entries)
    there = any(own.get("local") == address for entry in entries for own in entry.get("addr_info", ()))
    if not (ruled or routed or there):
        return None
    return HostAddress(address=address, subnet=subnet, bridge=bridge if ruled and routed and there else None)


def parse_other_bridges(shown: bytes, subnet: str, bridge: str) -> list[str]:
    """The other interfaces that the address's table leads to, from the answer to `render_fork_question`."""
    found = (entry for entry in _entries(shown) if entry.get("dst") == subnet)
    return sorted({entry["dev"] for entry in found if "dev" in entry} - {bridge})


def parse_own_addresses(shown: bytes) -> list[str]:
    """The addresses of single hosts, as ours are, from `ip -json address show`."""
    found = [own for entry in _entries(shown) for own in entry.get("addr_info", ())]
    return [own["local"] for own in found if (own.get("family"), own.get("prefixlen")) == ("inet", 32)]


def _entries(shown: bytes) -> list[dict[str, Any]]:
    answers: list[list[dict[str, Any]]] = [json.loads(line) for line in shown.splitlines() if line.startswith(b"[")]
    return [entry for answer in answers for entry in answer]


def render_joining(bridge: str, want: HostAddress) -> str:
    """The input of `ip -batch -` that gives the host its address on the bridge, and the route that goes with it.

    With 32 bits, the address brings no route of its own.
    """
    table = routing_table_of(want.address)
    return (
        f"address replace {want.address}/32 dev {bridge}\n"
        f"route replace {want.subnet} dev {bridge} scope link src {want.address} table {table}\n"
    )


def render_rule(address: str) -> str:
    """The input of `ip -batch -` that has what is sent from an address use its table."""
    return f"rule add pref {_PREFERENCE} from {address} table {routing_table_of(address)}\n"


def render_rule_removal(address: str) -> str:
    """The input of `ip -force -batch -` that removes the rule again."""
    return f"rule delete pref {_PREFERENCE} from {address} table {routing_table_of(address)}\n"
