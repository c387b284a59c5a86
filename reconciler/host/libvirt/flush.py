"""Makes QEMU write out what it caches of a disk."""

from typing import Any

import libvirt_qemu

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.xml import parse_element


def flush(domain: Any, target: str, node: str) -> None:
    """Flush everything written to a qcow2 disk of a running machine into its file, tables included.

    No libvirt call does this without stopping the CPUs (pausing flushes, but a kill could leave the machine paused), so
    it goes through QEMU's monitor; libvirt notes in its log that the monitor was used directly. Block nodes are named
    after the index in the live XML (libvirt, `src/qemu/qemu_block.c`).
    """
    index = _source_index(domain.XMLDesc(0), target)
    human = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    complaint = libvirt_qemu.qemuMonitorCommand(domain, f"qemu-io libvirt-{index}-format flush", human).strip()
    if complaint:
        raise OperationFailed(f"QEMU has not written out disk {target}: {complaint}", node=node)


def _source_index(live_xml: str, target: str) -> str:
    for disk in parse_element(live_xml).iterfind("devices/disk"):
        source = disk.find("source")
        if source is not None and disk.find(f"target[@dev='{target}']") is not None:
            return source.get("index", "")
    return ""
