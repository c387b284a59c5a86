"""The two definitions of an active domain: the files QEMU has open, and the files the next boot will open."""

from collections.abc import Iterable
from typing import Any

import libvirt

from reconciler.errors import Conflict, OperationFailed
from reconciler.host.disks.write_locks import is_written_to
from reconciler.host.libvirt.domain_xml import DomainRecord, parse_domain
from reconciler.host.libvirt.snapshot_xml import replace_disks


def read_live(domain: Any, node: str) -> DomainRecord:
    """The live definition; raises `OperationFailed` if the domain is off."""
    if not domain.isActive():
        raise OperationFailed("the machine turned off while its disks were being changed", node=node)
    return _parse(domain.XMLDesc(0), node)


def read_persistent(domain: Any, node: str) -> DomainRecord:
    """The definition that the next boot uses."""
    return _parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), node)


def keep_live_disks(handle: Any, domain: Any, node: str, targets: Iterable[str]) -> None:
    """Make the persistent definition name the files that those disks have open now.

    libvirt does so itself (seen with 9.0.0), unless the two already named different files.
    """
    live, kept = read_live(domain, node).domain.disks, read_persistent(domain, node).domain.disks
    stale = {target: live[target] for target in targets if kept.get(target) != live[target]}
    if stale:
        handle.defineXML(replace_disks(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), stale))


def require_same_files(domain: Any, node: str) -> None:
    """Raise `Conflict` if libvirt is wrong about the files that QEMU has open, so that nothing is done to them.

    libvirtd records which files QEMU has open only after it has made QEMU change them. If it was killed in between, it
    names the older layer permanently (seen with 9.0.0), and its next switch is refused, or placed below the real layer.
    """
    live, kept = read_live(domain, node).domain.disks, read_persistent(domain, node).domain.disks
    for target in live.keys() & kept.keys():
        if live[target].path != kept[target].path and is_written_to(kept[target].path):
            raise Conflict(
                f"libvirt believes that disk {target} writes to {live[target].path}, but it writes to "
                f"{kept[target].path}: libvirtd was killed while it added that layer",
                node=node,
                hint="power-cycle the node (`node_crash`): it boots from the right layer, and libvirt "
                "knows its files again",
            )


def _parse(xml: str, node: str) -> DomainRecord:
    record = parse_domain(xml)
    if record is None:
        raise OperationFailed("the domain lost our mark while it was being changed", node=node)
    return record
