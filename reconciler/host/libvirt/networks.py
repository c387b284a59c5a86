"""Lists, creates, marks, starts and deletes networks in libvirt; each function is one call on an open connection.

Every change checks for our mark first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import libvirt

from reconciler.errors import Conflict
from reconciler.host.libvirt.network_xml import NetworkRecord, parse_network, render_network, signed_network
from reconciler.model.document import Network
from reconciler.model.origin import Origin


@dataclass(frozen=True, slots=True)
class FoundNetwork:
    """A network; `record` is None if it does not carry our mark."""

    name: str
    record: NetworkRecord | None


def list_networks(handle: Any) -> list[FoundNetwork]:
    """Every network, of any owner."""
    active = names_of(handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))
    transient = names_of(handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_TRANSIENT))
    seen = (
        _look_at_network(network, active=network.name() in active, persistent=network.name() not in transient)
        for network in handle.listAllNetworks()
    )
    return [found for found in seen if found is not None]


def _look_at_network(network: Any, *, active: bool, persistent: bool) -> FoundNetwork | None:
    try:
        xml = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if active and persistent else 0)
        return FoundNetwork(network.name(), parse_network(xml, active=active))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:  # deleted since it was listed
            return None
        raise


def create_network(handle: Any, cluster: str, name: str, network: Network, origin: Origin | None = None) -> None:
    """Define a network and start it; our own of that name is removed first."""
    delete_network(handle, cluster, name)
    made = handle.networkDefineXML(render_network(cluster, name, network, origin))
    try:
        made.create()
    except libvirt.libvirtError:
        made.undefine()  # a network that cannot be started would block others
        raise


def sign_network(handle: Any, cluster: str, name: str, origin: Origin) -> None:
    """Record the origin of a network; one that is gone, or active without a definition, is left alone."""
    network = _our_network(handle, cluster, name)
    if network is not None and network.isPersistent():  # virNetworkSetMetadata came with libvirt 9.7
        definition = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if network.isActive() else 0)
        handle.networkDefineXML(signed_network(definition, origin))


def start_network(handle: Any, cluster: str, name: str) -> None:
    """Start a defined network."""
    network = _our_network(handle, cluster, name)
    if network is not None and not network.isActive():
        network.create()


def delete_network(handle: Any, cluster: str, name: str) -> None:
    """Stop and undefine a network."""
    network = _our_network(handle, cluster, name)
    if network is None:
        return
    if network.isActive():
        network.destroy()
    if _our_network(handle, cluster, name) is not None:  # a transient network disappears when it is stopped
        network.undefine()


def _our_network(handle: Any, cluster: str, name: str) -> Any:
    try:
        network = handle.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise
    record = parse_network(network.XMLDesc(0), active=True)
    if record is None or record.mark.cluster != cluster:
        raise Conflict(
            f"a network named {name!r} exists and is not cluster {cluster!r}'s",
            hint="give the network of the topology another name",
        )
    return network


def names_of(listed: Iterable[Any]) -> frozenset[str]:
    """The names of the listed objects."""
    return frozenset(of.name() for of in listed)
