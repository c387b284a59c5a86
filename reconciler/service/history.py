"""What was wanted of a cluster over time."""

from reconciler.service.access import existing
from reconciler.service.runtime import Runtime
from reconciler.store.protocol import HistoryEntry

__all__ = ["HistoryEntry", "history_of"]


async def history_of(runtime: Runtime, cluster: str) -> list[HistoryEntry]:
    """Every change of a cluster's record, oldest first, also of one that is gone.

    Raises `ClusterNotFound` for a name that never was.
    """
    entries = await runtime.store.history(cluster)
    if not entries:
        await existing(runtime.store, cluster)
    return entries
