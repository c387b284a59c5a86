"""Layers that QEMU writes to and libvirt does not know of.

libvirtd may be killed after QEMU has added a layer and before that is recorded anywhere: libvirt then names the
layer below for as long as the machine is up. The layer that looks superfluous holds everything the guest writes.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from reconciler.act.context import ActContext
from reconciler.errors import OperationFailed
from reconciler.host.disks.layers import delete_layer
from reconciler.host.disks.write_locks import is_written_to
from reconciler.host.libvirt.libvirt_driver import FoundDomain
from reconciler.host.libvirt.snapshot_xml import stacked
from reconciler.model import names
from reconciler.model.document import DomainDisk, PowerState
from reconciler.model.plan import DeleteLayer

log = structlog.get_logger(__name__)


async def delete_unneeded(action: DeleteLayer, context: ActContext) -> None:
    """Delete a layer that nothing needs, unless QEMU writes to it: then the next boot continues from it."""
    found = await _active(context)
    if action.node in found and (disk := _disk_below(action.path, action.node, found[action.node], context)):
        if await asyncio.to_thread(is_written_to, action.path):
            return await keep_what_is_written_to(context)
        if not await asyncio.to_thread(is_written_to, disk.path):
            raise OperationFailed(
                f"it is not known whether the machine writes to {action.path} while it is halted",
                hint="resume it, or turn it off; the layer is deleted then if nothing needs it",
            )
    context.require_term()
    await asyncio.to_thread(delete_layer, action.path, context.cluster)
    return None


async def keep_what_is_written_to(context: ActContext) -> None:
    """Make the next boot of every machine continue from the layers that its QEMU writes to."""
    for node, found in (await _active(context)).items():
        assert found.record is not None
        known = found.record.domain
        disks = await asyncio.to_thread(_disks_as_written_to, node, known.disks, context)
        if disks != known.disks:
            log.warning("layer_unknown_to_libvirt", cluster=context.cluster, node=node, remedy="power-cycle the node")
            wanted = known.model_copy(update={"disks": disks})
            await context.libvirt.define_domain(context.cluster, node, wanted, found.record.carried_out, context.origin)


def next_layer(node: str, target: str, disk: DomainDisk, context: ActContext) -> Path:
    """The path of the layer that goes on top of a disk, whether it exists yet or not."""
    intent, overlay_dir = context.record.nodes[node], context.record.spec.overlay_dir
    revision = intent.disk_revision if target == names.ROOT_DISK else intent.extra_revision
    parsed = names.parse_layer_name(disk.path.name)
    ours = parsed is not None and disk.path == names.layer_path(overlay_dir, context.cluster, *parsed)
    depth = parsed[3] + 1 if parsed is not None and ours else 0
    return names.layer_path(overlay_dir, context.cluster, node, target, revision, depth)


async def _active(context: ActContext) -> dict[str, FoundDomain]:
    """The machines of the record's nodes that are up and ours."""
    found = await context.libvirt.find_domains(context.cluster)
    return {
        node: of
        for node, of in found.items()
        if node in context.record.nodes and of.record is not None and of.state is not PowerState.OFF
    }


def _layers_above(node: str, disks: Mapping[str, DomainDisk], context: ActContext) -> dict[str, Path]:
    return {target: next_layer(node, target, disk, context) for target, disk in disks.items() if not disk.read_only}


def _disk_below(path: Path, node: str, found: FoundDomain, context: ActContext) -> DomainDisk | None:
    assert found.record is not None
    disks = found.record.domain.disks
    above = _layers_above(node, disks, context)
    return next((disks[target] for target, layer in above.items() if layer == path), None)


def _disks_as_written_to(node: str, disks: Mapping[str, DomainDisk], context: ActContext) -> dict[str, DomainDisk]:
    above = _layers_above(node, disks, context)
    unknown = {target: stacked(disks[target], layer) for target, layer in above.items() if is_written_to(layer)}
    return {**disks, **unknown}
