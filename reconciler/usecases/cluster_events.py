"""The events of clusters, as their controllers recorded them."""

from collections.abc import AsyncIterator

from reconciler.model.event import ClusterEvent
from reconciler.records.history import entries_of
from reconciler.records.stored_records import require_cluster_name
from reconciler.runtime import Runtime

__all__ = ["ClusterEvent", "events_of", "follow_events"]

_WAIT_S = 60.0


async def events_of(runtime: Runtime, cluster: str | None, *, after: int = 0) -> list[ClusterEvent]:
    """The events above a number of a cluster, even a destroyed one, or of all clusters; oldest first.

    Raises `ClusterNotFound` for a name that never existed.
    """
    if cluster is not None:
        require_cluster_name(cluster)
    found = await runtime.store.events(cluster, after=after)
    if cluster is not None and not found:
        await entries_of(runtime, cluster)
    return found


async def follow_events(runtime: Runtime, cluster: str | None, *, after: int) -> AsyncIterator[ClusterEvent]:
    """Every event with a higher number, as it happens, without end."""
    changes = await runtime.store.watch()
    while True:
        for event in await runtime.store.events(cluster, after=after):
            after = event.number
            yield event
        await changes.wait(timeout_s=_WAIT_S)
