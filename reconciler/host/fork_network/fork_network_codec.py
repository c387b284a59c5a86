"""The host's address in the network of a fork as the words of iproute2, and as what they show. Pure.

The subnet is on several bridges, so no route by destination can tell them apart. The host has a different address in
each fork's network, and a rule by source: what is sent from that address finds its route in a table of its own, whose
number is the address. Nothing changes for what is sent from other addresses, and libvirt, which refuses a network whose
subnet has a route already, does not see that table. A table without a route for a destination leads on to the main one,
and so to the origin's bridge, so ours ends with a route that leads nowhere: what goes with a link that is set down is
the route to the subnet alone.

When systemd-networkd starts, it removes the rules and routes of other programs, except those of protocol `kernel`
(networkd.conf(5), ManageForeignRoutingPolicyRules=).

Facts: ip-rule(8), ip-route(8); samples of iproute2 6.1 on Linux 6.18.
"""

import json
from ipaddress import IPv4Address
from typing import Any

from reconciler.model.document import HostAddress

_PREFERENCE = 1000
"""Before the rules of VPNs, which lead all that is not theirs to the main table."""
_KEPT = "protocol kernel"
_END = "unreachable default"


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
    ends = any((entry.get("dst"), entry.get("type")) == ("default", "unreachable") for entry in entries)
    there = any(own.get("local") == address for entry in entries for own in entry.get("addr_info", ()))
    if not (ruled or routed or there):
        return None
    whole = ruled and routed and ends and there
    return HostAddress(address=address, subnet=subnet, bridge=bridge if whole else None)


def render_owner_question(address: str) -> str:
    """The input of `ip -json -force -batch -` that shows who has the address: its interface, and its table's routes."""
    return f"address show to {address}/32\nroute show table {routing_table_of(address)}\n"


def parse_other_owners(shown: bytes, bridge: str) -> list[str]:
    """The interfaces other than the bridge that have the address, from the answer to `render_owner_question`."""
    entries = _entries(shown)
    owners = {entry["ifname"] for entry in entries if "ifname" in entry}
    leads = {entry["dev"] for entry in entries if "dst" in entry and "dev" in entry}
    return sorted((owners | leads) - {bridge})


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
    route = f"{want.subnet} dev {bridge} scope link src {want.address}"
    return (
        f"address replace {want.address}/32 dev {bridge}\n"
        f"route replace {route} table {routing_table_of(want.address)} {_KEPT}\n"
    )


def render_rule(address: str) -> str:
    """The input of `ip -batch -` that has what is sent from an address use its table, which leads nowhere else."""
    table = routing_table_of(address)
    return (
        f"route replace {_END} table {table} {_KEPT}\n"
        f"rule add pref {_PREFERENCE} from {address} table {table} {_KEPT}\n"
    )


def render_rule_removal(address: str) -> str:
    """The input of `ip -force -batch -` that removes them again; also a rule of another protocol."""
    table = routing_table_of(address)
    return f"rule delete pref {_PREFERENCE} from {address} table {table}\nroute delete {_END} table {table}\n"
