"""Keeps a guest that writes to its serial line without end from filling the host's disk."""

import structlog

from reconciler.errors import ClusterError
from reconciler.host.console_log import bound_console
from reconciler.model.names import console_path
from reconciler.model.record import ClusterRecord

CONSOLE_LIMIT_BYTES = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


async def bound_consoles(record: ClusterRecord, limit_bytes: int) -> None:
    """Truncate a cluster's console logs that nothing else keeps short; a failure is only logged."""
    for node in record.spec.nodes:
        path = console_path(record.spec.overlay_dir, record.cluster_name, node)
        about = {"cluster": record.cluster_name, "node": node, "path": str(path)}
        try:
            cut_bytes = await bound_console(path, limit_bytes)
        except (ClusterError, OSError) as error:
            log.warning("console_not_cut", **about, cause=str(error), remedy='`stdio_handler = "logd"` in qemu.conf')
        else:
            if cut_bytes:
                log.warning("console_cut", **about, cut_bytes=cut_bytes, limit_bytes=limit_bytes)
