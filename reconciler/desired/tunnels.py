"""How the parts of a cluster's network on several hosts are joined. Pure."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import chain, islice, repeat
from types import MappingProxyType

from reconciler.model.record import ClusterRecord, ClusterSpec, TunnelSpec

TunnelAddress = IPv4Address | IPv6Address
Visitors = Mapping[str, IPv4Address]
"""Hosts without nodes of a cluster that are in its network, with their addresses there."""
_NOBODY: Visitors = MappingProxyType({})
_MOST_CHOICES = 1024
"""A subnet may have millions of addresses."""


def is_joined(part: ClusterRecord, host: str, visitors: Visitors) -> bool:
    """Whether a host's part of a network is joined with others: it has nodes as they have, or one of the two visits."""
    if not part.spec.nodes:
        return host in visitors
    return bool(part.spec.elsewhere or visitors.keys() - {host})


def tunnel_of(
    whole: ClusterRecord,
    host: str,
    home: str,
    number: int,
    addresses: Mapping[str, TunnelAddress],
    visitors: Visitors = _NOBODY,
) -> TunnelSpec:
    """The tunnel from a host to the others with nodes of the cluster; those without an address are left out.

    `number` tells the cluster's network from all others of the store. The hosts take turns in the order in which the
    record names them, so that a host that comes later changes nothing for those before it. Visitors and hosts with
    nodes reach each other; visitors do not.
    """
    own = _own_addresses(whole, home)
    guests = {name: address for name, address in visitors.items() if name not in own}
    others = [*own] if host in guests else [*own, *sorted(guests)]
    taken = {*own.values(), *(node.ip for node in whole.spec.nodes.values())}
    given = guests.get(host)
    return TunnelSpec(
        vni=number,
        local=addresses[host],
        peers=tuple(addresses[other] for other in others if other != host and other in addresses),
        own_address=own.get(host) if given is None or given in taken else given,
    )


def addresses_for_visitors(whole: ClusterRecord, home: str, host_count: int) -> tuple[IPv4Address, ...]:
    """The addresses of a subnet by which a host could visit; first those that none of `host_count` hosts would need."""
    free, placed = [*islice(free_addresses(whole.spec), _MOST_CHOICES)], len(_own_addresses(whole, home))
    return (*free[host_count:], *free[placed:host_count])


def _own_addresses(whole: ClusterRecord, home: str) -> dict[str, IPv4Address | None]:
    """The address of each host with nodes, beside the gateway's; None for the last ones if there are not enough."""
    hosts = dict.fromkeys(node.host or home for node in whole.spec.nodes.values())
    return dict(zip(hosts, chain(free_addresses(whole.spec), repeat(None)), strict=False))


def with_tunnel(part: ClusterRecord, tunnel: TunnelSpec | None) -> ClusterRecord:
    """A host's part of a record, joined with the others by this tunnel."""
    if tunnel is None:
        return part
    network = part.spec.network.model_copy(update={"tunnel": tunnel})
    return part.model_copy(update={"spec": part.spec.model_copy(update={"network": network})})


def free_addresses(spec: ClusterSpec) -> Iterator[IPv4Address]:
    """The subnet's addresses that are no node's, from the last one down; nodes are usually given the first ones."""
    taken = {node.ip for node in spec.nodes.values()}
    first, last = int(spec.network.gateway), int(spec.network.subnet.broadcast_address)
    return (address for number in range(last - 1, first, -1) if (address := IPv4Address(number)) not in taken)
