"""Pictures of the nodes' screens."""

import asyncio
from datetime import UTC, datetime

from reconciler.drawing.screen_image import bounded_image
from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.model.screenshot import Screenshot
from reconciler.records.stored_records import existing, select_node
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection

_VIDEO = "set `video: true` for it in the topology, then `cluster_apply(allow_restart=true)`"


async def screenshot_of(runtime: Runtime, cluster: str, node: str) -> Screenshot:
    """What a node's screen shows now; for a dead node, the last thing that it showed.

    Raises `InvalidArgument` if the node is to have no screen, and `ClusterNotRunning`.
    """
    record = await existing(runtime.store, cluster)
    select_node(record, node)
    if not record.spec.nodes[node].video:
        raise InvalidArgument(f"node {node!r} has no screen", hint=_VIDEO)
    await runtime.rounds.parts.require_console_here(record, node)
    await Inspection(runtime).require_running(record, [node])
    written = await runtime.libvirt.take_screenshot(cluster, node)
    taken_at = datetime.now(UTC)
    try:
        image = await asyncio.to_thread(bounded_image, written)
    except ValueError as error:
        raise OperationFailed(f"QEMU's picture of the screen cannot be used: {error}", node=node) from error
    return Screenshot(
        node_name=node,
        width=image.width,
        height=image.height,
        screen_width=image.screen_width,
        screen_height=image.screen_height,
        size_bytes=len(image.png),
        taken_at=taken_at,
        png=image.png,
    )
