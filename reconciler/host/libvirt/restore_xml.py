"""The XML for restoring a saved memory: the saved XML, with changes where it may differ. Pure.

A machine is restored with the hardware that it was saved with (libvirt checks that and refuses otherwise). Files, names
on the host and our metadata are not hardware and follow the desired definition.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from reconciler.host.libvirt.domain_xml import domain_mark, parse_domain
from reconciler.host.libvirt.mark import NAMESPACE, DomainMark, domain_mark_element
from reconciler.host.libvirt.snapshot_xml import replace_disk_elements
from reconciler.host.libvirt.xml import element_text, parse_element
from reconciler.model import names
from reconciler.model.document import DirectBoot, Domain, DomainDisk
from reconciler.model.origin import Origin
from reconciler.model.plan import Epochs


@dataclass(frozen=True, slots=True)
class SavedMachine:
    """What a memory requires of QEMU: libvirt saves the machine type with its version, as in `pc-q35-7.2`."""

    arch: str
    machine: str
    virt_type: str


_HARDWARE = ("vcpus", "memory_mb", "virt_type", "cpu", "mac", "firmware", "video")
_BOOT_TAGS = ("kernel", "initrd", "cmdline")


def restore_obstacles(saved_xml: str, domain: Domain) -> list[str]:
    """The reasons why a memory saved under `saved_xml` cannot be restored as `domain`, in words for a user."""
    record = parse_domain(saved_xml)
    if record is None:
        return ["the saved memory is not from one of our machines"]
    saved = record.domain
    was, now = (of.model_dump(mode="json", include=set(_HARDWARE)) for of in (saved, domain))
    changed = [f"{field} was {was[field]!r} and is {now[field]!r}" for field in _HARDWARE if was[field] != now[field]]
    return [*changed, *_disk_obstacles(saved.disks, domain.disks), *_boot_obstacles(saved.boot, domain.boot)]


def saved_machine(saved_xml: str) -> SavedMachine:
    """What a memory saved under `saved_xml` requires of the emulator."""
    root = parse_element(saved_xml)
    of_os = root.find("os/type")
    arch, machine = ("", "") if of_os is None else (of_os.get("arch", ""), of_os.get("machine", ""))
    return SavedMachine(arch, machine, root.get("type", ""))


def render_restore(
    saved_xml: str, cluster: str, node: str, domain: Domain, carried_out: Epochs, origin: Origin | None = None
) -> str:
    """The saved XML with the name, UUID, disks, metadata, network, log file and kernel of `domain`.

    Raises `ValueError` if the saved machine lacks one of its disks; `restore_obstacles` reports that beforehand.
    """
    root = parse_element(saved_xml)
    _set_text(root, "name", names.domain_name(cluster, node))
    _set_text(root, "uuid", domain.uuid)
    _replace_mark(root, domain_mark(cluster, node, domain, carried_out, origin))
    _replace_boot(root, domain.boot)
    if domain.nvram is not None:
        _name_nvram(root, domain.nvram)
    replace_disk_elements(root, domain.disks)
    for interface in root.iterfind("devices/interface"):
        _set(interface, "source", "network", domain.network)
        _set(interface, "target", "dev", domain.tap)
    for port in (*root.iterfind("devices/serial"), *root.iterfind("devices/console")):
        _set(port, "log", "file", str(domain.console))
    return element_text(root)


def _disk_obstacles(saved: dict[str, DomainDisk], wanted: dict[str, DomainDisk]) -> list[str]:
    if saved.keys() != wanted.keys():
        return [f"its disks were {', '.join(sorted(saved))} and are {', '.join(sorted(wanted))}"]
    return [
        f"disk {target} was on a different bus or had different access"
        for target, disk in wanted.items()
        if (saved[target].bus, saved[target].read_only) != (disk.bus, disk.read_only)
    ]


def _boot_obstacles(saved: DirectBoot | None, wanted: DirectBoot | None) -> list[str]:
    """A kernel that QEMU loads brings its own ROM, which is part of the saved machine."""
    if (saved is None) == (wanted is None):
        return []
    return [f"it was {'not ' if saved is None else ''}booted with a kernel from the host"]


def _replace_mark(root: ET.Element, mark: DomainMark) -> None:
    metadata = root.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(root, "metadata")
    for element in metadata.findall(f"{{{NAMESPACE}}}node"):
        metadata.remove(element)
    metadata.append(domain_mark_element(mark))


def _replace_boot(root: ET.Element, boot: DirectBoot | None) -> None:
    os_element = root.find("os")
    if os_element is None or boot is None:
        return
    for child in [child for child in os_element if child.tag in _BOOT_TAGS]:
        os_element.remove(child)
    for tag in _BOOT_TAGS:
        value = getattr(boot, tag)
        if value is not None:
            ET.SubElement(os_element, tag).text = str(value)


def _name_nvram(root: ET.Element, nvram: Path) -> None:
    """QEMU fills the file from the memory, which includes UEFI's variables."""
    element = root.find("os/nvram")
    if element is None:
        return
    if (source := element.find("source")) is not None:
        source.set("file", str(nvram))
    else:
        element.text = str(nvram)


def is_of_another_machine(saved_xml: str, domain: Domain) -> bool:
    """Whether the memory was saved by a machine with another name and UUID, as a fork's was."""
    return parse_element(saved_xml).findtext("uuid", "") != domain.uuid


def _set_text(parent: ET.Element, child: str, text: str) -> None:
    element = parent.find(child)
    if element is not None:
        element.text = text


def _set(parent: ET.Element, child: str, name: str, value: str) -> None:
    element = parent.find(child)
    if element is not None:
        element.set(name, value)
