"""libvirt's part of snapshots: switches disks to new layers, saves and restores memory, flattens chains.

Layers are our own files, created beforehand (`LayerDriver`), so libvirt never chooses a name and keeps no snapshot of
its own, which would prevent the domain from being undefined. Every method is idempotent and checks for our mark first,
as in `libvirt_driver`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import libvirt

from reconciler.errors import Conflict, OperationFailed
from reconciler.files.ownership import read_mark, require_owned
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.libvirt import guest_agent
from reconciler.host.libvirt.definition import keep_live_disks, read_live, read_persistent, require_same_files
from reconciler.host.libvirt.domain_flatten import Progress, flatten_disk
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, on_connection
from reconciler.host.libvirt.lookup import our_domain
from reconciler.host.libvirt.memory_file import is_complete, memory_was_taken, partial_path, prepare_memory
from reconciler.host.libvirt.memory_pipe import memory_with_xml
from reconciler.host.libvirt.restore_xml import (
    SavedMachine,
    is_of_another_machine,
    render_restore,
    restore_obstacles,
    saved_machine,
)
from reconciler.host.libvirt.snapshot_xml import render_switch, stacked
from reconciler.model.document import Domain, DomainDisk
from reconciler.model.plan import Epochs

_SWITCH = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
)
_SAVED_BEFORE = "paused due to previous migration"  # QEMU, migration/migration.c


def _switch_disks(
    handle: Any, cluster: str, node: str, layers: Mapping[str, Path], *, memory: Path | None = None
) -> None:
    """Put a prepared layer on each of those disks (by target) of an active machine, all at one instant.

    With `memory`, the machine must be paused and stays so; its memory as of that instant is written beside that path,
    for `publish_memory` to publish. Afterwards the live and the persistent definition name the new layers. Raises
    `Conflict` if a layer is not ours or is not based on the disk's top layer.
    """
    domain = our_domain(handle, cluster, node)
    disks = _disks_of(domain, node, layers)
    pending = {target: layer for target, layer in layers.items() if disks[target].path != layer}
    if pending:
        if memory is not None:
            _require_one_instant(domain, node, whole=pending == layers)
        for target, layer in pending.items():
            _require_layer_on(disks[target], layer, cluster, node)
        saved = None if memory is None else _prepared_again(memory, cluster, node)
        flags = _SWITCH if saved is not None else _SWITCH | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        _create(domain, render_switch(pending, disks, saved), flags, node)
        _require_open(domain, node, {target: stacked(disks[target], layer) for target, layer in pending.items()})
    elif memory is not None and not memory_was_taken(memory):
        raise OperationFailed(f"the disks were switched, but the memory {memory} was not saved", node=node)
    keep_live_disks(handle, domain, node, layers)


def _prepared_again(memory: Path, cluster: str, node: str) -> Path:
    """Recreate the file for a memory, with the mark that it has."""
    begun = partial_path(memory)
    mark = read_mark(begun) if begun.exists() else None
    return prepare_memory(memory, cluster=cluster, node=node, origin=mark.origin if mark is not None else None)


def _create(domain: Any, xml: str, flags: int, node: str) -> None:
    try:
        domain.snapshotCreateXML(xml, flags)
    except libvirt.libvirtError as error:
        if _SAVED_BEFORE not in error.get_error_message():
            raise
        raise OperationFailed(
            "its memory was already saved and its CPUs have not run since; QEMU saves it only once",
            node=node,
            hint="resume it, or take the snapshot without memory",
        ) from error


def _disks_of(domain: Any, node: str, targets: Iterable[str]) -> dict[str, DomainDisk]:
    """The disks as QEMU has them open; raises `OperationFailed` if one of `targets` is missing."""
    disks = read_live(domain, node).domain.disks
    if missing := set(targets) - disks.keys():
        raise OperationFailed(f"the machine has no disk {', '.join(sorted(missing))}", node=node)
    return disks


def _require_one_instant(domain: Any, node: str, *, whole: bool) -> None:
    """libvirt saves memory before it switches the disks, and would itself resume a running machine."""
    if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
        raise OperationFailed("its memory can be saved only while it is paused, but it is running", node=node)
    if not whole:
        raise OperationFailed(
            "some of its disks already have the new layer, so the memory would not match them", node=node
        )


def _require_layer_on(disk: DomainDisk, layer: Path, cluster: str, node: str) -> None:
    """libvirt does not check a layer that it is told to reuse: one made for another file would lose data."""
    facts = read_image_facts(layer)
    require_owned(layer, cluster)
    if (facts.backing, facts.backing_format) != (str(disk.path), disk.format):
        raise Conflict(f"the layer {layer} stands on {facts.backing}, not on {disk.path}", node=node)


def _require_open(domain: Any, node: str, wanted: Mapping[str, DomainDisk]) -> None:
    disks = read_live(domain, node).domain.disks
    if wrong := [target for target, disk in wanted.items() if disks[target] != disk]:
        raise OperationFailed(f"libvirt has not put the new layer on {', '.join(wrong)}", node=node)


def _restore(
    handle: Any, cluster: str, node: str, memory: Path, wanted: Domain, carried_out: Epochs, *, owner: str | None = None
) -> None:
    """Restore the machine as it was when the memory was saved, paused, on the disks of `wanted`.

    The machine must be off, and its persistent definition already that of `wanted`. The memory file is only read; it
    belongs to the cluster `owner`, by default the same; that of a fork to another one. A machine that is active on
    those disks counts as restored.
    """
    domain = our_domain(handle, cluster, node)
    if read_persistent(domain, node).domain != wanted:
        raise OperationFailed("its persistent definition is not the one to restore", node=node)
    if not domain.isActive():
        _require_memory(memory, owner or cluster, node)
        saved_xml = handle.saveImageGetXMLDesc(str(memory), 0)
        if obstacles := _obstacles(handle, saved_xml, wanted):
            raise Conflict(f"the memory {memory} cannot be restored: {'; '.join(obstacles)}", node=node)
        origin = read_persistent(domain, node).mark.origin
        xml = render_restore(saved_xml, cluster, node, wanted, carried_out, origin)
        if is_of_another_machine(saved_xml, wanted):
            with memory_with_xml(memory, wanted.console.parent, lambda _saved: xml) as pipe:
                handle.restoreFlags(str(pipe), None, libvirt.VIR_DOMAIN_SAVE_PAUSED)
        else:
            handle.restoreFlags(str(memory), xml, libvirt.VIR_DOMAIN_SAVE_PAUSED)
    live = read_live(domain, node).domain
    if live != wanted:
        fields = [field for field in Domain.model_fields if getattr(live, field) != getattr(wanted, field)]
        raise OperationFailed(
            f"it is active with a different {', '.join(fields)}", node=node, hint="cut its power first"
        )


def _obstacles(handle: Any, saved_xml: str, wanted: Domain) -> list[str]:
    return [*restore_obstacles(saved_xml, wanted), *_emulator_obstacles(handle, saved_machine(saved_xml))]


def _emulator_obstacles(handle: Any, saved: SavedMachine) -> list[str]:
    """QEMU reads memory saved by an older version as long as it has its machine type, but none saved by a newer one."""
    try:
        handle.getDomainCapabilities(None, saved.arch, saved.machine, saved.virt_type)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        missing = f"it was saved with machine type {saved.machine}, which this host's QEMU does not support"
        return [f"{missing}: revert on a host with a QEMU as new as that, or to a snapshot without memory"]
    return []


def _require_memory(memory: Path, cluster: str, node: str) -> None:
    if not is_complete(memory):
        raise OperationFailed(f"there is no saved memory at {memory}", node=node)
    require_owned(memory, cluster)


def _require_known_files(handle: Any, cluster: str, node: str) -> None:
    """Raise `Conflict` if libvirt is wrong about the files that an active machine has open."""
    require_same_files(our_domain(handle, cluster, node), node)


class LibvirtSnapshots:
    """Snapshots and restores single nodes; the caller combines them for a cluster."""

    def __init__(self, connection: LibvirtConnection) -> None:
        self.connection = connection

    switch_disks = on_connection(_switch_disks)
    require_known_files = on_connection(_require_known_files)
    restore = on_connection(_restore)
    freeze_filesystems = on_connection(guest_agent.freeze_filesystems)
    thaw_filesystems = on_connection(guest_agent.thaw_filesystems)
    set_guest_time = on_connection(guest_agent.set_guest_time)

    async def restore_obstacles(self, memory: Path, domain: Domain) -> list[str]:
        """The reasons why that memory cannot be restored as `domain`; check them before anything is cut."""
        return await self.connection.ask(
            lambda handle: _obstacles(handle, handle.saveImageGetXMLDesc(str(memory), 0), domain)
        )

    async def flatten(
        self, cluster: str, node: str, target: str, base: Path | None, *, progress: Progress | None = None
    ) -> None:
        """Pull everything between a disk's top layer and `base` (None: everything below) into the top layer.

        The files below are only read. On a running machine, `progress` receives bytes done and total bytes, and
        cancelling the call ends the job; on one that is off there is no progress. A paused machine is refused: after a
        save or a restore its disks stay released until the CPUs run, and QEMU aborts when it writes to them.
        """
        await flatten_disk(self.connection, cluster, node, target, base, progress)
