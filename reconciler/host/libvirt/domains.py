"""Defines, marks, starts, stops and removes domains in libvirt; each function is one call on an open connection.

Every function is idempotent, and every change checks for our mark first: it raises `Conflict` if that is missing.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt

from reconciler.host.libvirt.definition import read_live, read_persistent, require_same_files
from reconciler.host.libvirt.domain_xml import has_scsi, render_disk, render_domain, render_scsi_controller
from reconciler.host.libvirt.lookup import find_domain, our_domain, require_mark
from reconciler.host.libvirt.mark import NAMESPACE, PREFIX, DomainMark, bare_domain_mark
from reconciler.model.document import Domain, DomainDisk
from reconciler.model.origin import Origin
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus

_UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM  # it is deleted with the disks
)


def define_domain(
    handle: Any, cluster: str, node: str, domain: Domain, carried_out: Epochs, origin: Origin | None = None
) -> None:
    """Write the persistent definition; a running machine is not touched."""
    if (there := find_domain(handle, cluster, node)) is not None:
        require_mark(there, cluster, node)
    handle.defineXML(render_domain(cluster, node, domain, carried_out, origin))


def undefine_domain(handle: Any, cluster: str, node: str) -> None:
    """Remove a definition with managed saves and snapshot metadata; the UEFI variables stay with the disks."""
    domain = find_domain(handle, cluster, node)
    if domain is None:
        return
    require_mark(domain, cluster, node)
    domain.undefineFlags(_UNDEFINE_ALL)


def attach_disk(handle: Any, cluster: str, node: str, target: str, disk: DomainDisk) -> None:
    """Plug a disk into a running machine and into its persistent definition."""
    both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain = our_domain(handle, cluster, node)
    if disk.bus is DiskBus.SCSI and not has_scsi(domain.XMLDesc(0)):
        domain.attachDeviceFlags(render_scsi_controller(), both)  # libvirt itself would add an lsilogic
    domain.attachDeviceFlags(render_disk(target, disk), both)


def grow_disk(handle: Any, cluster: str, node: str, path: Path, size_bytes: int) -> bool:
    """Have a running machine enlarge the disk that writes to `path`; False if no disk has it open."""
    domain = find_domain(handle, cluster, node)
    if domain is None:
        return False
    require_mark(domain, cluster, node)
    if not domain.isActive():
        return False
    disks = read_live(domain, node).domain.disks
    target = next((target for target, disk in disks.items() if disk.path == path), None)
    if target is None:
        return False
    require_same_files(domain, node)
    if domain.blockInfo(target)[0] < size_bytes:
        domain.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    return True


def start(handle: Any, cluster: str, node: str, *, paused: bool, resume_epoch: int) -> None:
    """Power on. The boot satisfies every resume requested so far; that is recorded first."""
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        return
    _write_epochs(domain, node, resume_epoch=resume_epoch)
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)


def shut_down(handle: Any, cluster: str, node: str) -> None:
    """Press the ACPI power button."""
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def cut_power(handle: Any, cluster: str, node: str, *, boot_epoch: int) -> None:
    """Cut the power, then record which power cycle that was."""
    domain = our_domain(handle, cluster, node)
    if domain.isActive():
        domain.destroy()
    if domain.isPersistent():
        _write_epochs(domain, node, boot_epoch=boot_epoch)


def resume_if_paused(handle: Any, cluster: str, node: str) -> None:
    """Resume the CPUs if they are paused; this satisfies no request."""
    domain = our_domain(handle, cluster, node)
    match domain.state()[0]:
        case libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        case libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)


def suspend(handle: Any, cluster: str, node: str) -> None:
    """Pause the CPUs."""
    our_domain(handle, cluster, node).suspend()


def is_active(handle: Any, cluster: str, node: str) -> bool:
    """Whether the domain has a QEMU process."""
    return bool(our_domain(handle, cluster, node).isActive())


def defined(handle: Any, cluster: str, node: str) -> Domain:
    """A node's persistent definition, which the next boot uses."""
    return read_persistent(our_domain(handle, cluster, node), node).domain


def carried_out(handle: Any, cluster: str, node: str) -> Epochs:
    """The requests that the persistent definition says were carried out."""
    return read_persistent(our_domain(handle, cluster, node), node).carried_out


def note_resume(handle: Any, cluster: str, node: str, *, resume_epoch: int) -> None:
    """Record the last request for a resume that was satisfied; the CPUs stay as they are."""
    _write_epochs(our_domain(handle, cluster, node), node, resume_epoch=resume_epoch)


def _write_epochs(domain: Any, node: str, *, boot_epoch: int | None = None, resume_epoch: int | None = None) -> None:
    """Write the requests that were carried out into the persistent definition, where they are read from."""
    record = read_persistent(domain, node)
    before = record.carried_out
    after = Epochs(
        boot=before.boot if boot_epoch is None else boot_epoch,
        resume=before.resume if resume_epoch is None else resume_epoch,
    )
    if after != before:
        _write_mark(domain, replace(record.mark, boot_epoch=after.boot, resume_epoch=after.resume))


def sign_domain(handle: Any, cluster: str, node: str, origin: Origin) -> None:
    """Record the origin of a definition; one that is gone is left alone."""
    domain = find_domain(handle, cluster, node)
    if domain is None or not domain.isPersistent():
        return
    require_mark(domain, cluster, node)
    _write_mark(domain, replace(read_persistent(domain, node).mark, origin=origin))


def _write_mark(domain: Any, mark: DomainMark) -> None:
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        bare_domain_mark(mark),
        PREFIX,
        NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )
