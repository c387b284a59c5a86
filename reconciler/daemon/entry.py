"""The controller as a service in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import structlog
from prometheus_client import CollectorRegistry

from reconciler.controller.round_results import RoundResult
from reconciler.daemon.host_reports import keep_reported
from reconciler.daemon.metrics import Metrics, served
from reconciler.daemon.node_metrics import NodeCollector, reading_counters
from reconciler.daemon.round_loop import OnRound
from reconciler.daemon.service import Scope, Service, take
from reconciler.daemon.service_manager import ServiceManager
from reconciler.errors import StoreUnavailable
from reconciler.records.stored_records import require_cluster_name
from reconciler.runtime import Runtime
from reconciler.store.lease import SERVICE

log = structlog.get_logger(__name__)

_MOST_CLUSTERS_NAMED = 5

Door = Callable[[CollectorRegistry], AbstractAsyncContextManager[object]]
"""Opens what else is served beside the service, with its metrics."""


async def run_service(
    runtime: Runtime,
    clusters: Sequence[str],
    stop: asyncio.Event,
    *,
    resync_s: float,
    metrics_port: int,
    door: Door | None = None,
) -> None:
    """Keep clusters as their records say until `stop` is set; all of them if none is named.

    Waits for the lease as long as another controller of this host holds it. Reports to the service manager, if there
    is one; serves metrics unless `metrics_port` is 0, and through a `door`. Raises `Conflict` where another machine has
    this host's name.
    """
    await _require_names(runtime, clusters)
    scope = Scope(clusters=frozenset(clusters), resync_s=resync_s)
    manager = ServiceManager()
    status = StatusLine(manager)
    observers: list[OnRound] = [status.on_round]
    async with AsyncExitStack() as stack:
        if metrics_port or door:
            metrics = Metrics()
            metrics.registry.register(NodeCollector(reading_counters(runtime)))
            observers.append(metrics.on_round)
        if door:
            await stack.enter_async_context(door(metrics.registry))
        if metrics_port:
            await stack.enter_async_context(served(metrics, metrics_port))
        lease = runtime.lease(SERVICE)
        service = Service(
            runtime.store,
            runtime.rounds,
            lease,
            runtime.host_lease(SERVICE),
            runtime.libvirt.connection,
            scope,
            observers,
        )
        await runtime.follow_guests()
        await runtime.follow_host(service.on_host_event)
        runtime.follow_kernel(service.on_host_event)
        status.tell()

        async def begin() -> bool:
            if not await take(lease, stop):
                return False
            await _join(runtime, stack)
            log.info("watching", clusters=list(clusters) or "all", resync_s=resync_s, metrics_port=metrics_port or None)
            return True

        await _serve(service, begin, stop, manager)
    log.info("ended")


async def _join(runtime: Runtime, stack: AsyncExitStack) -> None:
    """Become one of the hosts of a shared store. Raises `Conflict` where another machine has this host's name."""
    if not runtime.settings.own_host:
        return
    with suppress(StoreUnavailable):  # the service waits until that is over
        await runtime.store.membership().enter()
    await stack.enter_async_context(runtime.images.giving())
    reporting = asyncio.create_task(keep_reported(runtime))
    stack.push_async_callback(_ended, reporting)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def _require_names(runtime: Runtime, clusters: Sequence[str]) -> None:
    """Raise `ClusterNotFound` for an invalid name; warn about a cluster that does not exist yet."""
    for cluster in clusters:
        require_cluster_name(cluster)
    with suppress(StoreUnavailable):  # the service waits until that is over
        defined = await runtime.store.names() if clusters else []
        for cluster in sorted(set(clusters).difference(defined)):
            log.warning(
                "cluster_not_defined",
                cluster=cluster,
                defined=defined,
                remedy="it will be reconciled once it is applied",
            )


async def _serve(
    service: Service, begin: Callable[[], Awaitable[bool]], stop: asyncio.Event, manager: ServiceManager
) -> None:
    alive = asyncio.create_task(manager.keep_alive())
    try:
        if await begin():
            await service.run(stop, on_ready=manager.ready, on_stop=manager.stopping)
    finally:
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)


class StatusLine:
    """The service in one line, for `systemctl status`."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._converged: dict[str, bool] = {}

    def on_round(self, cluster: str, result: RoundResult, _duration_s: float) -> None:
        """Add the result of a round."""
        if result.gone:
            self._converged.pop(cluster, None)
        else:
            self._converged[cluster] = result.converged
        self.tell()

    def tell(self) -> None:
        """Report the current line."""
        self._manager.status(self._line())

    def _line(self) -> str:
        if not self._converged:
            return "no cluster was observed yet"
        kept = len(self._converged)
        open_ = sorted(cluster for cluster, converged in self._converged.items() if not converged)
        if not open_:
            return f"{kept} clusters, all as desired"
        named = ", ".join(open_[:_MOST_CLUSTERS_NAMED])
        more = len(open_) - _MOST_CLUSTERS_NAMED
        return f"{kept} clusters, not as desired: {named}{f' and {more} more' if more > 0 else ''}"
