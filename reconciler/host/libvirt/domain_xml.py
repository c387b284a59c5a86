"""Domains as libvirt's XML (libvirt.org/formatdomain.html). Pure.

libvirt adds much to what it is given, so only the fields of `Domain` are read back, never the whole.
"""

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reconciler.host.libvirt.mark import DomainMark, domain_mark_element, parse_domain_mark
from reconciler.host.libvirt.xml import element_text, parse_element
from reconciler.model import names
from reconciler.model.document import BackingFile, DirectBoot, Domain, DomainDisk
from reconciler.model.origin import Origin
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus, Firmware

SPARE_PCIE_PORTS = 10
"""Root ports beyond those of the devices we render: each disk plugged in later uses one."""

_VIDEO_KIB = 16384
_DISKS_PER_SATA_CONTROLLER = 6  # libvirt adds the controllers; the first one is part of the machine
_CPU_MODES = {"host": "host-passthrough", "maximum": "maximum"}
_BUSES: dict[str, DiskBus] = {bus.value: bus for bus in DiskBus}
_CPU_OF_MODE = {mode: cpu for cpu, mode in _CPU_MODES.items()}


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """One of our persistent definitions as read back from libvirt."""

    domain: Domain
    mark: DomainMark

    @property
    def carried_out(self) -> Epochs:
        return Epochs(boot=self.mark.boot_epoch, resume=self.mark.resume_epoch)


def domain_mark(
    cluster: str, node: str, domain: Domain, carried_out: Epochs, origin: Origin | None = None
) -> DomainMark:
    """The mark of one of our domains."""
    return DomainMark(
        cluster, node, domain.role, domain.template, carried_out.boot, carried_out.resume, domain.boot_files, origin
    )


def render_domain(cluster: str, node: str, domain: Domain, carried_out: Epochs, origin: Origin | None = None) -> str:
    """The persistent definition of a node."""
    root = ET.Element("domain", type=domain.virt_type)
    _text(root, "name", names.domain_name(cluster, node))
    _text(root, "uuid", domain.uuid)
    _child(root, "genid")  # libvirt gives each restored memory another: its kernel then draws fresh random numbers
    mark = domain_mark(cluster, node, domain, carried_out, origin)
    _child(root, "metadata").append(domain_mark_element(mark))
    _text(root, "memory", str(domain.memory_mb), unit="MiB")
    _text(root, "vcpu", str(domain.vcpus))
    _render_os(root, domain)
    features = _child(root, "features")
    _child(features, "acpi")
    _child(features, "apic")
    _render_cpu(root, domain.cpu)
    _child(root, "clock", offset="utc")
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "preserve")):
        _text(root, f"on_{event}", reaction)
    _render_devices(_child(root, "devices"), domain)
    return element_text(root)


def render_disk(target: str, disk: DomainDisk) -> str:
    """One disk, in the form that is plugged into a running machine."""
    return element_text(_disk_element(target, disk))


def render_scsi_controller() -> str:
    """The controller of all SCSI disks, in the form that is plugged into a running machine without one."""
    return element_text(_scsi_controller())


def has_scsi(xml: str) -> bool:
    """Whether a machine has a controller for SCSI disks."""
    return parse_element(xml).find("devices/controller[@type='scsi']") is not None


@lru_cache(maxsize=2048)  # an idle host returns the same texts at each resync
def parse_domain(xml: str) -> DomainRecord | None:
    """The fields that we own of a persistent definition; None if it does not carry our mark."""
    root = parse_element(xml)
    mark = parse_domain_mark(root.find("metadata"))
    devices = root.find("devices")
    if mark is None or devices is None:
        return None
    interface = devices.find("interface")
    domain = Domain(
        uuid=root.findtext("uuid", ""),
        role=mark.role,
        vcpus=int(root.findtext("vcpu", "0")),
        memory_mb=_memory_mb(root),
        virt_type=root.get("type", ""),
        cpu=_parse_cpu(root.find("cpu")),
        disks=dict(_parse_disk(disk) for disk in devices.findall("disk")),
        network=_attribute(interface, "source", "network"),
        mac=_attribute(interface, "mac", "address"),
        tap=_attribute(interface, "target", "dev"),
        console=Path(_attribute(devices.find("serial"), "log", "file")),
        firmware=_parse_firmware(root.find("os")),
        video=devices.find("video") is not None,
        nvram=_parse_nvram(root.find("os/nvram")),
        boot=_parse_boot(root.find("os")),
        boot_files=mark.boot_files,
        template=mark.template,
    )
    return DomainRecord(domain, mark)


def _render_os(root: ET.Element, domain: Domain) -> None:
    os_element = _child(root, "os")
    _text(os_element, "type", "hvm", machine="q35")
    if domain.firmware is Firmware.UEFI:
        _render_uefi(os_element, domain.nvram)
    boot = domain.boot
    if boot is None:
        _child(os_element, "boot", dev="hd")
        return
    _text(os_element, "kernel", str(boot.kernel))
    if boot.initrd is not None:
        _text(os_element, "initrd", str(boot.initrd))
    _text(os_element, "cmdline", boot.cmdline)


def _render_uefi(os_element: ET.Element, nvram: Path | None) -> None:
    """libvirt chooses among the host's firmware, without Secure Boot, because users' own kernels are not signed."""
    os_element.set("firmware", "efi")
    features = _child(os_element, "firmware")
    for feature in ("secure-boot", "enrolled-keys"):
        _child(features, "feature", enabled="no", name=feature)
    if nvram is not None:
        _text(os_element, "nvram", str(nvram))


def _render_cpu(root: ET.Element, cpu: str) -> None:
    if mode := _CPU_MODES.get(cpu):
        _child(root, "cpu", mode=mode)
    else:
        _text(_child(root, "cpu", mode="custom", match="exact"), "model", cpu)


def _render_devices(devices: ET.Element, domain: Domain) -> None:
    for target, disk in domain.disks.items():
        devices.append(_disk_element(target, disk))
    _child(devices, "controller", type="usb", model="none")
    if any(disk.bus is DiskBus.SCSI for disk in domain.disks.values()):
        devices.append(_scsi_controller())
    _child(devices, "controller", type="pci", index="0", model="pcie-root")
    for index in range(1, _pcie_devices(domain) + SPARE_PCIE_PORTS + 1):
        _child(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
    interface = _child(devices, "interface", type="network")
    _child(interface, "mac", address=domain.mac)
    _child(interface, "source", network=domain.network)
    _child(interface, "target", dev=domain.tap)
    _child(interface, "model", type="virtio")
    _render_console(devices, domain.console)
    agent = _child(devices, "channel", type="unix")
    _child(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    _text(_child(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    if domain.video:
        _child(_child(devices, "video"), "model", type="vga", vram=str(_VIDEO_KIB))
    _child(devices, "memballoon", model="none")
    _child(devices, "panic", model="isa")


def _scsi_controller() -> ET.Element:
    return ET.Element("controller", type="scsi", index="0", model="virtio-scsi")


def _pcie_devices(domain: Domain) -> int:
    """Devices that need a root port: virtio disks, network card, serial controller, random numbers, SCSI, more SATA."""
    of_bus = Counter(disk.bus for disk in domain.disks.values())
    return of_bus[DiskBus.VIRTIO] + 4 + of_bus[DiskBus.SATA] // _DISKS_PER_SATA_CONTROLLER


def _render_console(devices: ET.Element, log: Path) -> None:
    serial = _child(devices, "serial", type="pty")
    _child(serial, "log", file=str(log), append="on")
    _child(serial, "target", type="isa-serial", port="0")
    _child(_child(devices, "console", type="pty"), "target", type="serial", port="0")


def _disk_element(target: str, disk: DomainDisk) -> ET.Element:
    element = ET.Element("disk", type="file", device="disk")
    driver = _child(element, "driver", name="qemu", type=disk.format)
    if disk.shared:
        driver.set("cache", "none")  # so that each node reads what another writes
    _child(element, "source", file=str(disk.path))
    _append_backing(element, disk.backing, kept=_image_below(target, disk))
    _child(element, "target", dev=target, bus=disk.bus.value)
    if disk.bus is DiskBus.SCSI:
        _child(element, "address", type="drive", controller="0", bus="0", target="0", unit=str(_unit(target)))
    if disk.read_only:
        _child(element, "readonly")
    if disk.shared:
        _child(element, "shareable")  # makes libvirt have QEMU take no lock
    _text(element, "serial", target)
    return element


def _unit(target: str) -> int:
    """A unit of its own on the one controller; libvirt would put seven on each and make more, as lsilogic (9.0.0)."""
    return ord(target[-1]) - ord("a")


def _image_below(target: str, disk: DomainDisk) -> BackingFile | None:
    """The user's image that a root disk is based on; every other file of a chain is one of our layers."""
    base = disk.backing[-1] if target == names.ROOT_DISK and disk.backing else None
    is_layer = base and base.path.parent == disk.path.parent and names.parse_layer_name(base.path.name)
    return None if is_layer else base


def _append_backing(parent: ET.Element, chain: tuple[BackingFile, ...], *, kept: BackingFile | None) -> None:
    """Append the whole chain and end it explicitly; otherwise libvirt would give the user's image to QEMU's user.

    It may give frozen layers to that user: they are 0600, and those of a machine that was off belong to their creator.
    """
    if not chain:
        _child(parent, "backingStore")
        return
    backing = _child(parent, "backingStore", type="file")
    _child(backing, "format", type=chain[0].format)
    source = _child(backing, "source", file=str(chain[0].path))
    if chain[0] == kept:
        _child(source, "seclabel", model="dac", relabel="no")
    _append_backing(backing, chain[1:], kept=kept)


def _parse_disk(element: ET.Element) -> tuple[str, DomainDisk]:
    """Return a disk by its target. A disk that we would not render has a format that never equals a rendered one."""
    kind, device, bus = element.get("type", ""), element.get("device", "disk"), _attribute(element, "target", "bus")
    file_format = _attribute(element, "driver", "type")
    rendered = (kind, device) == ("file", "disk") and bus in _BUSES
    return _attribute(element, "target", "dev"), DomainDisk(
        path=Path(_attribute(element, "source", "file")),
        format=file_format if rendered else f"{file_format} {device} of type {kind} on {bus}".strip(),
        bus=_BUSES.get(bus, DiskBus.VIRTIO),
        backing=_parse_backing(element),
        read_only=element.find("readonly") is not None,
        shared=element.find("shareable") is not None,
    )


def _parse_backing(element: ET.Element) -> tuple[BackingFile, ...]:
    backing = element.find("backingStore")
    if backing is None or backing.get("type") is None:
        return ()
    file = BackingFile(path=Path(_attribute(backing, "source", "file")), format=_attribute(backing, "format", "type"))
    return (file, *_parse_backing(backing))


def _parse_boot(os_element: ET.Element | None) -> DirectBoot | None:
    kernel = None if os_element is None else os_element.findtext("kernel")
    if os_element is None or kernel is None:
        return None
    initrd = os_element.findtext("initrd")
    return DirectBoot(
        kernel=Path(kernel), initrd=None if initrd is None else Path(initrd), cmdline=os_element.findtext("cmdline", "")
    )


def _parse_firmware(os_element: ET.Element | None) -> Firmware:
    """The firmware; for a running machine and in saved memory libvirt names what it chose instead (seen with 9.0.0)."""
    chosen = _attribute(os_element, "loader", "type") == "pflash"
    by_choice = os_element is not None and os_element.get("firmware") == "efi"
    return Firmware.UEFI if chosen or by_choice else Firmware.BIOS


def _parse_nvram(element: ET.Element | None) -> Path | None:
    path = None if element is None else (element.text or "").strip() or _attribute(element, "source", "file")
    return Path(path) if path else None


def _parse_cpu(element: ET.Element | None) -> str:
    if element is None:
        return ""
    mode = element.get("mode", "")
    return _CPU_OF_MODE[mode] if mode in _CPU_OF_MODE else element.findtext("model", "")


_KIB_PER_UNIT = {"KiB": 1, "MiB": 1024, "GiB": 1024 * 1024}


def _memory_mb(root: ET.Element) -> int:
    """The memory, rounded up; libvirt itself always prints KiB."""
    element = root.find("memory")
    if element is None or element.text is None:
        return 0
    return -(-int(element.text) * _KIB_PER_UNIT[element.get("unit", "KiB")] // 1024)


def _attribute(parent: ET.Element | None, child: str, name: str) -> str:
    element = None if parent is None else parent.find(child)
    return "" if element is None else element.get(name, "")


def _child(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
