"""Which files the machines of this host, of any owner, use as disks and as backing files."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt

from reconciler.host.libvirt.mark import parse_domain_mark
from reconciler.host.libvirt.xml import parse_element
from reconciler.model.file_use import FileUse


def file_uses_of(handle: Any) -> tuple[FileUse, ...]:
    """The uses of every domain: from its live definition if it runs, otherwise from the persistent one."""
    return tuple(use for domain in handle.listAllDomains() for use in _look_at(domain))


def parse_uses(xml: str, *, name: str, is_up: bool) -> Iterator[FileUse]:
    """The uses in one definition. Files below a disk are listed if the domain runs or its definition names them."""
    root = parse_element(xml)
    mark = parse_domain_mark(root.find("metadata"))
    whose = f"the domain {name}" if mark is None else f"node {mark.node} of cluster {mark.cluster}"
    cluster = None if mark is None else mark.cluster
    for disk in root.iterfind("devices/disk"):
        target = _attribute(disk, "target", "dev")
        written, shared = disk.find("readonly") is None, disk.find("shareable") is not None
        for level, (path, kind) in enumerate(_files(disk)):
            is_top = level == 0
            yield FileUse(path, whose, cluster, target, written and is_top, kind, is_up=is_up, shared=shared and is_top)


def _files(disk: ET.Element) -> Iterator[tuple[Path, str]]:
    """The disk's own file and those below it, with their formats; files on other hosts are left out."""
    kind, place = _attribute(disk, "driver", "type"), disk
    while True:
        if path := _attribute(place, "source", "file") or _attribute(place, "source", "dev"):
            yield Path(path), kind
        below = place.find("backingStore")
        if below is None:
            return
        kind, place = _attribute(below, "format", "type"), below


def _attribute(parent: ET.Element, child: str, name: str) -> str:
    element = parent.find(child)
    return "" if element is None else element.get(name, "")


def _look_at(domain: Any) -> list[FileUse]:
    try:
        is_up = bool(domain.isActive())
        xml = domain.XMLDesc(0 if is_up else libvirt.VIR_DOMAIN_XML_INACTIVE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # deleted since it was listed
            return []
        raise
    return list(parse_uses(xml, name=domain.name(), is_up=is_up))
