"""A tunnel as the words of iproute2 and nftables, and as what they show. Pure.

Our mark is the alias of the interface; one without any was not finished. The gateway's address is on every host, so ARP
about it must not pass: it is dropped by a table of its own, whose name says for which cluster and which address.

Facts: ip-link(8), bridge(8), nft(8); samples of iproute2 6.1 on Linux 6.18.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from reconciler.model import names
from reconciler.model.document import Network, Tunnel

GUARD_PREFIX = "vmtunnel-"
_EVERY_OTHER = "00:00:00:00:00:00"
"""The forwarding entry of everything whose place is not known: such a frame goes to each peer."""


@dataclass(frozen=True, slots=True)
class FoundTunnel:
    """The interface with the name of a cluster's tunnel; `tunnel` is None if it is not our own."""

    tunnel: Tunnel | None


def subnet_of(network: Network) -> IPv4Network:
    """The addresses on a network."""
    return IPv4Interface(f"{network.gateway}/{network.prefix_length}").network


def render_question(cluster: str, bridge: str) -> str:
    """The input of `ip -json -details -force -batch -` that shows the port, then the routes by the bridge."""
    return f"link show dev {names.tunnel_name(cluster)}\nroute show dev {bridge}\n"


def parse_tunnel(
    cluster: str, shown: bytes, forwarding: bytes, guards: Iterable[str], subnet: IPv4Network
) -> FoundTunnel:
    """The tunnel from the answer to `render_question`, from `bridge -json fdb show`, and the names of nft's tables.

    Raises `ValueError` if the interface is not among them.
    """
    lists: list[list[dict[str, Any]]] = [json.loads(line) for line in shown.splitlines() if line.startswith(b"[")]
    entries = [entry for each in lists for entry in each]
    link = next((entry for entry in entries if entry.get("ifname") == names.tunnel_name(cluster)), None)
    if link is None:
        raise ValueError("the interface is not shown")
    details: dict[str, Any] = link.get("linkinfo", {}).get("info_data", {})
    if link.get("ifalias", _alias(cluster)) != _alias(cluster) or "port" not in details:
        return FoundTunnel(None)
    own = next((entry.get("prefsrc") for entry in entries if entry.get("dst") == str(subnet)), None)
    return FoundTunnel(
        Tunnel(
            vni=details["id"],
            port=details["port"],
            local=details.get("local") or details.get("local6", ""),
            peers=tuple(sorted(_peers(forwarding))),
            mtu=link["mtu"],
            bridge=link.get("master") if "UP" in link["flags"] else None,
            gateway=_guarded(cluster, guards),
            own_address=None if own == str(subnet[1]) else own,
        )
    )


def render_creation(cluster: str, want: Tunnel) -> str:
    """The input of `ip -batch -` that creates the port; it is not plugged in yet."""
    ends = f"dstport {want.port} local {want.local}"
    return f"link add name {names.tunnel_name(cluster)} type vxlan id {want.vni} {ends}\n"


def render_removal(cluster: str) -> str:
    """The input of `ip -batch -` that deletes the port."""
    return f"link delete dev {names.tunnel_name(cluster)}\n"


def is_other_port(have: Tunnel, want: Tunnel) -> bool:
    """Whether they differ in what an existing port cannot change."""
    return (have.vni, have.port, have.local) != (want.vni, want.port, want.local)


def render_peers(cluster: str, have: Iterable[str], want: Iterable[str]) -> str:
    """The input of `bridge -batch -` after which frames to unknown places go to exactly these peers."""
    name, before, after = names.tunnel_name(cluster), set(have), set(want)
    lines = [
        *(f"fdb append {_EVERY_OTHER} dev {name} dst {peer}" for peer in sorted(after - before)),
        *(f"fdb delete {_EVERY_OTHER} dev {name} dst {peer}" for peer in sorted(before - after)),
    ]
    return "".join(f"{line}\n" for line in lines)


def render_plugging(cluster: str, network: Network, want: Tunnel) -> str:
    """The input of `ip -batch -` that plugs the port into the network's bridge."""
    port = names.tunnel_name(cluster)
    return f"link set dev {port} alias {_alias(cluster)} mtu {want.mtu} master {network.bridge} up\n"


def render_own_address(network: Network, have: str | None, want: str | None) -> str:
    """The input of `ip -batch -` that has the host speak from an address of its own; from the gateway's without one.

    A route goes with the address that it names, so it is changed before an address is removed.
    """
    if have == want:
        return ""
    add = [] if want is None else [f"address replace {want}/32 dev {network.bridge}"]
    source = network.gateway if want is None else want
    route = f"route replace {subnet_of(network)} dev {network.bridge} proto kernel scope link src {source}"
    remove = [] if have is None else [f"address delete {have}/32 dev {network.bridge}"]
    return "".join(f"{line}\n" for line in (*add, route, *remove))


def guard_name(cluster: str, gateway: str) -> str:
    """The nft table that holds back ARP about the gateway."""
    return f"{GUARD_PREFIX}{cluster}-{gateway}"


def guarded_cluster(table: str) -> str | None:
    """The cluster for which a table of nft holds back ARP; None for another table."""
    cluster, dash, _ = table.removeprefix(GUARD_PREFIX).rpartition("-")
    return cluster if dash and table.startswith(GUARD_PREFIX) else None


def render_guard(cluster: str, gateway: str | None, found: Iterable[str]) -> str:
    """The input of `nft -f -` after which ARP about this address, and no other, is held back; None: about none."""
    stale = "".join(f"delete table bridge {name}\n" for name in sorted(_guards_of(cluster, found)))
    return stale if gateway is None else f"{stale}{_guard(cluster, gateway)}"


def _guard(cluster: str, gateway: str) -> str:
    """To and from the port, whether a guest of this host sends or the host itself."""
    port = names.tunnel_name(cluster)
    drops = {way: [f'{way} "{port}" arp {end} ip {gateway} drop' for end in ("saddr", "daddr")] for way in _WAYS}
    chains = {"forward": [*drops["iifname"], *drops["oifname"]], "input": drops["iifname"], "output": drops["oifname"]}
    text = "".join(
        f"  chain {hook} {{\n    type filter hook {hook} priority -240; policy accept;\n"
        + "".join(f"    {rule}\n" for rule in rules)
        + "  }\n"
        for hook, rules in chains.items()
    )
    return f"table bridge {guard_name(cluster, gateway)} {{\n{text}}}\n"


_WAYS = ("iifname", "oifname")


def _alias(cluster: str) -> str:
    return f"vmcluster-{cluster}"


def _peers(forwarding: bytes) -> Iterator[str]:
    entries: list[dict[str, Any]] = json.loads(forwarding or b"[]")
    yield from (entry["dst"] for entry in entries if entry.get("mac") == _EVERY_OTHER and "dst" in entry)


def _guarded(cluster: str, tables: Iterable[str]) -> str | None:
    """The address that is held back; none if there are several tables, of which only one can be right."""
    found = _guards_of(cluster, tables)
    return found[0].removeprefix(f"{GUARD_PREFIX}{cluster}-") if len(found) == 1 else None


def _guards_of(cluster: str, tables: Iterable[str]) -> list[str]:
    """Names of clusters contain no dots, and addresses nothing else that a name could end with."""
    start = f"{GUARD_PREFIX}{cluster}-"
    return [name for name in tables if name.startswith(start) and "-" not in name[len(start) :]]
