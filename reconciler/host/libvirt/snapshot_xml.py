"""Layer chains in libvirt's XML: puts a layer on a disk, or names another chain. Pure.

The elements are those of libvirt.org/formatsnapshot.html and libvirt.org/formatdomain.html, "Hard drives".
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.host.libvirt.domain_xml import render_disk
from reconciler.host.libvirt.xml import element_text, parse_element
from reconciler.host.magic import QCOW2
from reconciler.model.document import BackingFile, DomainDisk

_CHAIN_ELEMENTS = ("source", "backingStore")


def render_switch(layers: Mapping[str, Path], targets: Iterable[str], memory: Path | None) -> str:
    """A snapshot that puts the layers on the disks of those targets, and excludes all other `targets`.

    A disk that is not named would get a layer too, with a name chosen by libvirt.
    """
    root = ET.Element("domainsnapshot")
    if memory is None:
        ET.SubElement(root, "memory", snapshot="no")
    else:
        ET.SubElement(root, "memory", snapshot="external", file=str(memory))
    disks = ET.SubElement(root, "disks")
    for target in targets:
        _append_snapshot_disk(disks, target, layers.get(target))
    return element_text(root)


def replace_disks(xml: str, disks: Mapping[str, DomainDisk]) -> str:
    """A domain's XML with the whole chains of those disks replaced and nothing else changed.

    Raises `ValueError` if the domain has no disk with such a target.
    """
    root = parse_element(xml)
    replace_disk_elements(root, disks)
    return element_text(root)


def replace_disk_elements(root: ET.Element, disks: Mapping[str, DomainDisk]) -> None:
    """The same on a parsed domain."""
    elements = {_target(element): element for element in root.iterfind("devices/disk")}
    for target, disk in disks.items():
        if target not in elements:
            raise ValueError(f"there is no disk {target!r}")
        _name_files(elements[target], parse_element(render_disk(target, disk)))


def stacked(disk: DomainDisk, layer: Path) -> DomainDisk:
    """The disk with `layer` put on top."""
    below = BackingFile(path=disk.path, format=disk.format)
    return disk.model_copy(update={"path": layer, "format": QCOW2, "backing": (below, *disk.backing)})


def flattened(disk: DomainDisk, base: Path | None) -> DomainDisk:
    """The disk without the files between its top layer and `base` (None: without all files below).

    Raises `ValueError` if `base` is not in its chain.
    """
    if base is None:
        return disk.model_copy(update={"backing": ()})
    below = [file.path for file in disk.backing]
    if base not in below:
        raise ValueError(f"{base} is not below {disk.path}")
    return disk.model_copy(update={"backing": disk.backing[below.index(base) :]})


def _append_snapshot_disk(disks: ET.Element, target: str, layer: Path | None) -> None:
    if layer is None:
        ET.SubElement(disks, "disk", name=target, snapshot="no")
        return
    disk = ET.SubElement(disks, "disk", name=target, snapshot="external", type="file")
    ET.SubElement(disk, "driver", type=QCOW2)
    ET.SubElement(disk, "source", file=str(layer))


def _name_files(element: ET.Element, rendered: ET.Element) -> None:
    for child in [child for child in element if child.tag in _CHAIN_ELEMENTS]:
        element.remove(child)
    element.extend([child for child in rendered if child.tag in _CHAIN_ELEMENTS])
    driver, wanted = element.find("driver"), rendered.find("driver")
    if driver is not None and wanted is not None:
        driver.set("type", wanted.get("type", QCOW2))


def _target(disk: ET.Element) -> str:
    target = disk.find("target")
    return "" if target is None else target.get("dev", "")
