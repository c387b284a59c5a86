"""The history of a cluster's desired state."""

from collections.abc import Iterator, Sequence

from reconciler.records.change import Change
from reconciler.records.change_descriptions import change_in_words
from reconciler.records.recovery import documents
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime
from reconciler.store.protocol import HistoryEntry


async def history_of(runtime: Runtime, cluster: str) -> list[Change]:
    """Every change of a cluster's record, oldest first, even of a destroyed cluster.

    Raises `ClusterNotFound` for a name that never existed, and `StoreUnavailable` for a damaged history.
    """
    return list(_told(await entries_of(runtime, cluster)))


async def entries_of(runtime: Runtime, cluster: str) -> list[HistoryEntry]:
    """The same as stored. Raises `ClusterNotFound` for a name that never existed."""
    entries = await runtime.store.history(cluster)
    if not entries:
        await existing(runtime.store, cluster)
    return entries


def _told(entries: Sequence[HistoryEntry]) -> Iterator[Change]:
    before = None
    for entry, (_, after) in zip(entries, documents(entries), strict=True):
        yield Change(**entry.model_dump(), changes=change_in_words(before, after))
        before = after
