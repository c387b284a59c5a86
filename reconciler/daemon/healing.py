"""The work of a healer process: it waits, then heals or leaves. While it waits it holds only its own lock."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from reconciler.controller.leavers import leaver_lock, service_runs
from reconciler.errors import ClusterError, ClusterNotFound, FaultNotFound
from reconciler.runtime import Runtime
from reconciler.store.lease import Lease
from reconciler.usecases.network_faults import Faults

log = structlog.get_logger(__name__)

ACTOR = "healer"
LONGEST_SLEEP_S = 1.0
"""How late the healer may notice a fault that was requested while it slept and that expires sooner."""

VISIT_LOOK_S = 10.0
"""How often it is looked whether a visit is over: that may be in an hour."""

RETRY_S = 5.0
TRIES = 60
"""A restarted libvirt is back within minutes; after that, the next round of any process heals."""


async def heal_in_time(runtime: Runtime, cluster: str) -> None:
    """Heal the cluster's faults as they expire; return when none is left, or another healer is at work."""
    lock = Lease(runtime.settings.state_dir / "healers" / f"{cluster}.lock", purpose=ACTOR)
    # A process that requested a fault while we held the lock relies on us, even if we were about to exit.
    while await _next_expiry(runtime, cluster) is not None and lock.try_acquire():
        try:
            await _heal_until_none_is_left(runtime, cluster)
        finally:
            lock.release(remove=True)


async def heal_when_closed(runtime: Runtime, cluster: str, handle: str, lifeline: int) -> None:
    """Heal one fault when the other end of the pipe `lifeline` is closed, unless that was done already."""
    await asyncio.to_thread(os.read, lifeline, 1)
    record = await runtime.store.get(cluster)
    if record is not None and handle in record.faults:
        await _persistently(cluster, lambda: Faults(runtime, actor=ACTOR).heal(cluster, handle))


async def leave_in_time(runtime: Runtime, cluster: str) -> None:
    """Take this host out of a network when its visit is over; return then, or if another process does so."""
    lock, lease = leaver_lock(runtime.settings, cluster), runtime.lease(ACTOR)
    # A process that began a visit while we held the lock relies on us, even if we were about to exit.
    while lock.try_acquire():
        has_left = False
        try:
            has_left = await _persistently(cluster, lambda: _leave_once_unused(runtime, cluster, lease))
        finally:
            lock.release(remove=has_left and not service_runs(lease))
        if not has_left or service_runs(lease) or not await _is_visited(runtime, cluster):
            return


async def _leave_once_unused(runtime: Runtime, cluster: str, lease: Lease) -> None:
    """Wait, and leave; nothing once a service runs, which does so itself."""
    while await _is_visited(runtime, cluster):
        if service_runs(lease):
            return
        await asyncio.sleep(VISIT_LOOK_S)
    await runtime.controller.leave_network(cluster, timeout_s=RETRY_S * TRIES)


async def _is_visited(runtime: Runtime, cluster: str) -> bool:
    """Whether this host still uses the network: its lease there goes on, and the cluster is not being deleted."""
    record = await runtime.store.get(cluster)
    here = runtime.store.own_host in await runtime.store.visitors(cluster)
    return here and record is not None and record.deletion is None


async def _heal_until_none_is_left(runtime: Runtime, cluster: str) -> None:
    while (expiry := await _next_expiry(runtime, cluster)) is not None:
        left_s = (expiry - datetime.now(UTC)) / timedelta(seconds=1)
        if left_s > 0:
            await asyncio.sleep(min(left_s, LONGEST_SLEEP_S))
        else:
            await _persistently(cluster, lambda: Faults(runtime, actor=ACTOR).expire(cluster))


async def _next_expiry(runtime: Runtime, cluster: str) -> datetime | None:
    record = await runtime.store.get(cluster)
    expiries = [fault.expires_at for fault in record.faults.values() if fault.expires_at] if record else []
    return min(expiries, default=None)


async def _persistently(cluster: str, heal: Callable[[], Awaitable[object]]) -> bool:
    """Try for minutes; whether nothing is left to do."""
    for attempt in range(1, TRIES + 1):
        try:
            await heal()
        except (ClusterNotFound, FaultNotFound):
            return True  # destroyed, or healed by another process meanwhile
        except ClusterError as error:
            log.warning("not_healed_yet", cluster=cluster, attempt=attempt, cause=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            log.info("healed", cluster=cluster)
            return True
    log.error("not_healed", cluster=cluster, attempts=TRIES)
    return False
