"""The mark that each of our domains and networks carries in libvirt's `<metadata>`.

A domain or network without it is not ours and is never changed, whatever its name. libvirt allows one element
per namespace there (libvirt.org/formatdomain.html, "General metadata").
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from reconciler.host.libvirt.xml import element_text
from reconciler.model.origin import Origin

NAMESPACE = "urn:vmcluster:1"
PREFIX = "vmcluster"

ET.register_namespace(PREFIX, NAMESPACE)


@dataclass(frozen=True, slots=True)
class DomainMark:
    """The owner of a domain, and the one-shot requests that were carried out on it."""

    cluster: str
    node: str
    role: str
    template: int
    boot_epoch: int
    resume_epoch: int
    boot_files: str = ""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class NetworkMark:
    """The owner of a network."""

    cluster: str
    origin: Origin | None = None


def domain_mark_element(mark: DomainMark) -> ET.Element:
    """The element for a domain's metadata."""
    return ET.Element(f"{{{NAMESPACE}}}node", _attributes(mark))


def bare_domain_mark(mark: DomainMark) -> str:
    """The same without its namespace, which virDomainSetMetadata adds itself (it refuses one that is there)."""
    return element_text(ET.Element("node", _attributes(mark)))


def parse_domain_mark(parent: ET.Element | None) -> DomainMark | None:
    """The mark below a `<metadata>` element; None if there is none that we could have written."""
    element = None if parent is None else parent.find(f"{{{NAMESPACE}}}node")
    if element is None:
        return None
    try:
        return DomainMark(
            cluster=element.attrib["cluster"],
            node=element.attrib["name"],
            role=element.attrib["role"],
            template=int(element.attrib["template"]),
            boot_epoch=int(element.attrib["boot-epoch"]),
            resume_epoch=int(element.attrib["resume-epoch"]),
            boot_files=element.get("boot-files", ""),
            origin=Origin.read(element.attrib),
        )
    except (KeyError, ValueError):
        return None


def _attributes(mark: DomainMark) -> dict[str, str]:
    return {
        "cluster": mark.cluster,
        "name": mark.node,
        "role": mark.role,
        "template": str(mark.template),
        "boot-epoch": str(mark.boot_epoch),
        "resume-epoch": str(mark.resume_epoch),
        **({"boot-files": mark.boot_files} if mark.boot_files else {}),
        **(mark.origin.attributes if mark.origin else {}),
    }


def network_mark_element(mark: NetworkMark) -> ET.Element:
    """The element for a network's metadata."""
    origin = mark.origin.attributes if mark.origin else {}
    return ET.Element(f"{{{NAMESPACE}}}network", {"cluster": mark.cluster, **origin})


def parse_network_mark(parent: ET.Element | None) -> NetworkMark | None:
    """The mark below a `<metadata>` element; None if there is none that we could have written."""
    element = None if parent is None else parent.find(f"{{{NAMESPACE}}}network")
    if element is None or (cluster := element.get("cluster")) is None:
        return None
    try:
        return NetworkMark(cluster, Origin.read(element.attrib))
    except (KeyError, ValueError):
        return None
