"""Where the nodes of a cluster are plugged in."""

from reconciler.host.tap import bridge_address
from reconciler.model.links import Port, Ports
from reconciler.model.record import ClusterRecord


def ports_of(record: ClusterRecord) -> Ports:
    """The port of each node, whether it is up or not; the host's own address where the bridge is there."""
    nodes = {name: Port(tap=node.tap, mac=node.mac) for name, node in record.spec.nodes.items()}
    elsewhere = {name: node.mac for name, node in record.spec.elsewhere.items()}
    return Ports(nodes, host_mac=bridge_address(record.spec.network.bridge), elsewhere=elsewhere)
