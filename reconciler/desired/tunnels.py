"""How the parts of a cluster's network on several hosts are joined. Pure."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from reconciler.model.record import ClusterRecord, ClusterSpec, TunnelSpec

TunnelAddress = IPv4Address | IPv6Address


def spans_hosts(part: ClusterRecord) -> bool:
    """Whether a host's part of a record has nodes, and others have some too."""
    return bool(part.spec.nodes and part.spec.elsewhere)


def tunnel_of(
    whole: ClusterRecord, host: str, home: str, number: int, addresses: Mapping[str, TunnelAddress]
) -> TunnelSpec:
    """The tunnel from a host to the others with nodes of the cluster; those without an address are left out.

    `number` tells the cluster's network from all others of the store. The hosts take turns in the order in which the
    record names them, so that a host that comes later changes nothing for those before it.
    """
    hosts = [*dict.fromkeys(node.host or home for node in whole.spec.nodes.values())]
    own = dict(zip(hosts, _free_addresses(whole.spec), strict=False))
    return TunnelSpec(
        vni=number,
        local=addresses[host],
        peers=tuple(addresses[other] for other in hosts if other != host and other in addresses),
        own_address=own.get(host),
    )


def with_tunnel(part: ClusterRecord, tunnel: TunnelSpec | None) -> ClusterRecord:
    """A host's part of a record, joined with the others by this tunnel."""
    if tunnel is None:
        return part
    network = part.spec.network.model_copy(update={"tunnel": tunnel})
    return part.model_copy(update={"spec": part.spec.model_copy(update={"network": network})})


def _free_addresses(spec: ClusterSpec) -> Iterator[IPv4Address]:
    """The subnet's addresses that are no node's, from the last one down; nodes are usually given the first ones."""
    taken = {node.ip for node in spec.nodes.values()}
    first, last = int(spec.network.gateway), int(spec.network.subnet.broadcast_address)
    return (address for number in range(last - 1, first, -1) if (address := IPv4Address(number)) not in taken)
