"""The desired network of a cluster on this host. Pure."""

from ipaddress import IPv4Address

from reconciler.model.document import HostAddress, Network, Tunnel
from reconciler.model.record import TUNNEL_MTU, ClusterRecord, NetworkSpec, NodeSpec, TunnelSpec
from reconciler.model.topology import Forward


def network_of(record: ClusterRecord) -> Network:
    """The network of a cluster, with its tunnel if others have a part of it."""
    network = record.spec.network
    if network.host_address is not None:
        return _network_of_fork(network, network.host_address)
    return Network(
        bridge=network.bridge,
        gateway=str(network.gateway),
        prefix_length=network.subnet.prefixlen,
        forward=network.forward,
        active=True,
        tunnel=None if network.tunnel is None else _tunnel(network, network.tunnel),
    )


def _network_of_fork(network: NetworkSpec, own: IPv4Address) -> Network:
    """A bridge without the gateway: libvirt allows no subnet twice, and the host is there under its own address."""
    address = HostAddress(address=str(own), subnet=str(network.subnet), bridge=network.bridge)
    return Network(
        bridge=network.bridge,
        gateway="",
        prefix_length=0,
        forward=Forward.ISOLATED,
        active=True,
        host_address=address,
    )


def mtu_of(network: NetworkSpec, node: NodeSpec) -> int | None:
    """A guest is told once: on a host that others share a store with, before the cluster spans them."""
    if network.tunnel is not None:
        return network.tunnel.mtu
    return TUNNEL_MTU if node.host else None


def _tunnel(network: NetworkSpec, tunnel: TunnelSpec) -> Tunnel:
    return Tunnel(
        vni=tunnel.vni,
        port=tunnel.port,
        local=str(tunnel.local),
        peers=tuple(sorted(map(str, tunnel.peers))),
        mtu=tunnel.mtu,
        bridge=network.bridge,
        gateway=str(network.gateway),
        own_address=None if tunnel.own_address is None else str(tunnel.own_address),
    )
