"""Networks as libvirt's XML (libvirt.org/formatnetwork.html). Pure."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache

from reconciler.host.libvirt.mark import NAMESPACE, NetworkMark, network_mark_element, parse_network_mark
from reconciler.host.libvirt.xml import element_text, parse_element
from reconciler.model import names
from reconciler.model.document import Network
from reconciler.model.origin import Origin
from reconciler.model.topology import Forward

_FORWARDS = {"": Forward.ISOLATED, "nat": Forward.NAT}
"""By the mode that libvirt prints; any other mode is added to the bridge, which then never equals a rendered one."""


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """One of our networks as read back from libvirt."""

    name: str
    network: Network
    mark: NetworkMark


def render_network(cluster: str, name: str, network: Network, origin: Origin | None = None) -> str:
    """A network without DHCP.

    DNS stays on even if the network is isolated (libvirt then answers for that network only): without dnsmasq, the
    first node of a network fails to start on a host where dnsmasq never ran, because its state directory is missing
    (libvirt 9.0).
    """
    root = ET.Element("network")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "uuid").text = names.network_uuid(cluster, name)
    ET.SubElement(root, "metadata").append(network_mark_element(NetworkMark(cluster, origin)))
    if network.forward is Forward.NAT:
        ET.SubElement(root, "forward", mode="nat")
    ET.SubElement(root, "bridge", name=network.bridge, stp="off", delay="0")
    if network.gateway:
        ET.SubElement(root, "ip", address=network.gateway, prefix=str(network.prefix_length))
    return element_text(root)


def signed_network(xml: str, origin: Origin) -> str:
    """The definition of one of our networks, with a mark that names the origin."""
    root = parse_element(xml)
    metadata = root.find("metadata")
    mark = parse_network_mark(metadata)
    if metadata is None or mark is None:
        raise ValueError("the network does not carry our mark")
    for element in metadata.findall(f"{{{NAMESPACE}}}network"):
        metadata.remove(element)
    metadata.append(network_mark_element(NetworkMark(mark.cluster, origin)))
    return element_text(root)


@lru_cache(maxsize=512)  # an idle host returns the same texts at each resync
def parse_network(xml: str, *, active: bool) -> NetworkRecord | None:
    """The fields that we own of a network's definition; None if it does not carry our mark."""
    root = parse_element(xml)
    mark = parse_network_mark(root.find("metadata"))
    bridge, ip, forward = root.find("bridge"), root.find("ip"), root.find("forward")
    if mark is None or bridge is None:
        return None
    mode = "" if forward is None else forward.get("mode", "nat")
    network = Network(
        bridge=bridge.get("name", "") if mode in _FORWARDS else f"{bridge.get('name', '')} (forward {mode})",
        gateway="" if ip is None else ip.get("address", ""),
        prefix_length=0 if ip is None else int(ip.get("prefix", "0")),
        forward=_FORWARDS.get(mode, Forward.NAT),
        active=active,
    )
    return NetworkRecord(root.findtext("name", ""), network, mark)
