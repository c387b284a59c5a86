"""Makes a disk larger, whether its machine is running or off."""

from reconciler.act.context import ActContext
from reconciler.host.disks.offline_grow import grow_image
from reconciler.host.libvirt.domain_grow import grow_disk
from reconciler.model.plan import GrowLayer


async def grow_layer(action: GrowLayer, context: ActContext) -> None:
    """Grow the layer to its desired size; a machine that is up does it itself, and its guest sees it at once."""
    connection = context.libvirt.connection
    if not await grow_disk(connection, context.cluster, action.node, action.path, action.size_bytes):
        await grow_image(action.path, action.size_bytes, cluster=context.cluster)
