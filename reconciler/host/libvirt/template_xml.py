"""The XML of a machine that becomes a template, and of a node that is restored from its memory. Pure."""

import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

from reconciler.host.libvirt.domain_xml import render_domain
from reconciler.host.libvirt.xml import element_text, parse_element
from reconciler.model.document import BackingFile, Domain, DomainDisk, TemplateSpec
from reconciler.model.names import ROOT_DISK, TEMPLATE_MAC
from reconciler.model.plan import Epochs

_UUIDS = uuid.UUID("8d7f0a43-52b4-5a4e-9f7b-4b1f5bb4c0de")
_SEED = "vdz"


def template_name(key: str) -> str:
    """The libvirt name of the machine that becomes a template: never one of a node's."""
    return f"vmcluster_template_{key}"


def render_template(spec: TemplateSpec, root: Path, seed: Path, console: Path) -> str:
    """The same hardware as a node's, in the same places, with a card that leads nowhere.

    The card's other end is a socket on loopback that nothing is ever sent to: the guest gives the card up before it is
    used. Its state in the memory must be that of a plugged cable, or that of a clone is not (QEMU's virtio-net).
    """
    domain = Domain(
        uuid=str(uuid.uuid5(_UUIDS, spec.key)),
        role="",
        vcpus=spec.vcpus,
        memory_mb=spec.memory_mb,
        virt_type=spec.virt_type,
        cpu=spec.cpu,
        disks={
            ROOT_DISK: DomainDisk(
                path=root, format="qcow2", backing=(BackingFile(path=spec.image, format=spec.image_format),)
            ),
            _SEED: DomainDisk(path=seed, format="raw", read_only=True),
        },
        network="",
        mac=TEMPLATE_MAC,
        tap="",
        console=console,
        boot=spec.boot,
        template=spec.rendering,
    )
    machine = parse_element(render_domain("template", spec.key, domain, Epochs()))
    _set_text(machine, "name", template_name(spec.key))
    _remove(machine, "metadata")
    _lead_nowhere(machine)
    return element_text(machine)


def render_clone(saved: str, defined: str) -> str:
    """The XML to restore a template's memory with, as the node that is `defined` like this.

    Hardware stays as saved; what tells one machine from another is the node's.
    """
    machine, node = parse_element(saved), parse_element(defined)
    for tag in ("name", "uuid"):
        _set_text(machine, tag, node.findtext(tag, ""))
    _remove(machine, "metadata")
    machine.insert(2, _found(node, "metadata"))
    devices, own = _found(machine, "devices"), _found(node, "devices")
    for tag in ("disk", "interface"):
        for old, new in zip(devices.findall(tag), own.findall(tag), strict=True):
            devices[list(devices).index(old)] = new
    for tag in ("serial/log", "console/log"):
        for log, of_node in zip(devices.findall(tag), own.findall(tag), strict=False):
            log.set("file", of_node.get("file", ""))
    return element_text(machine)


def _lead_nowhere(machine: ET.Element) -> None:
    card = _found(machine, "devices/interface")
    card.set("type", "udp")
    for tag in ("source", "target"):
        _remove(card, tag)
    source = ET.SubElement(card, "source", address="127.0.0.1", port="9")
    ET.SubElement(source, "local", address="127.0.0.1", port="0")


def _found(parent: ET.Element, path: str) -> ET.Element:
    element = parent.find(path)
    if element is None:
        raise ValueError(f"the machine has no {path}")
    return element


def _set_text(parent: ET.Element, tag: str, text: str) -> None:
    _found(parent, tag).text = text


def _remove(parent: ET.Element, tag: str) -> None:
    for element in parent.findall(tag):
        parent.remove(element)
