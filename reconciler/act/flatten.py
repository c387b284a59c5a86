"""Flattens a disk's layer: begins, copies and finishes, and repeats or finishes it after an interruption."""

import asyncio

from reconciler.act.context import ActContext
from reconciler.errors import ClusterError, LibvirtUnavailable
from reconciler.host.disks.layers import abandon_flattening, begin_flattening, finish_flattening
from reconciler.host.disks.offline_flatten import require_flatten_space
from reconciler.model.plan import FlattenLayer


async def flatten_layer(action: FlattenLayer, context: ActContext) -> None:
    """Copy what is between the layer and its new base; until that is finished, nothing below it is deleted.

    The layer names its new base before a running QEMU has written all data, so the mark of an unfinished layer is set
    first, and removed once everything is in the file. It is also removed if nothing was changed.
    """
    try:
        await _flatten(action, context)
    except LibvirtUnavailable:  # QEMU's job may continue
        raise
    except ClusterError:
        await asyncio.to_thread(abandon_flattening, action.path, action.base, context.cluster)
        raise


async def _flatten(action: FlattenLayer, context: ActContext) -> None:
    if action.lowest is not None:
        is_active = await context.libvirt.is_active(context.cluster, action.node)
        await asyncio.to_thread(require_flatten_space, action.path, action.base, copied=not is_active)
        await asyncio.to_thread(begin_flattening, action.path, action.lowest, context.cluster)
    context.checkpoint(f"after begin:{action.node}")
    context.require_term()
    await context.snapshots.flatten(
        context.cluster, action.node, action.target, action.base, progress=_Tenths(action, context).report
    )
    context.checkpoint(f"after flatten:{action.node}")
    await asyncio.to_thread(finish_flattening, action.path, context.cluster)


class _Tenths:
    """Reports progress, once every tenth."""

    def __init__(self, action: FlattenLayer, context: ActContext) -> None:
        self._action, self._tell = action, context.on_advance
        self._said = 0

    def report(self, done_bytes: int, all_bytes: int) -> None:
        share = done_bytes / all_bytes if all_bytes else 0.0
        if int(share * 10) > self._said:
            self._said = int(share * 10)
            self._tell(self._action, share)
