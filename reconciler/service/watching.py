"""The controller as a service in this process."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from reconciler.controller.service import Scope, Service
from reconciler.service.access import require_cluster_name
from reconciler.service.runtime import Runtime

log = structlog.get_logger(__name__)

LEASE_WAIT_S = 30.0
"""How long another controller may take to end; a command that acts by itself holds the lease for seconds."""


async def watch(
    runtime: Runtime, clusters: Sequence[str], stop: asyncio.Event, *, resync_s: float, on_ready: Callable[[], None]
) -> None:
    """Keep clusters as their records want until `stop` is set; all of them where none is named.

    Raises `OperationTimeout` naming the other controller of this host where there is one.
    """
    for cluster in clusters:
        require_cluster_name(cluster)
    scope = Scope(clusters=frozenset(clusters), resync_s=resync_s)
    lease = runtime.lease("vmcluster watch")
    service = Service(runtime.store, runtime.rounds, lease, runtime.libvirt.connection, scope)
    await runtime.follow_guests()
    await runtime.follow_host(service.on_host_event)
    log.info("watching", clusters=list(clusters) or "all", resync_s=resync_s)
    await service.run(stop, on_ready=on_ready, lease_wait_s=LEASE_WAIT_S)
    log.info("ended")
