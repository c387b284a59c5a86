"""The history of a cluster's desired state."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from reconciler.errors import StoreUnavailable
from reconciler.records.change import Change
from reconciler.records.change_descriptions import change_in_words
from reconciler.records.recovery import documents
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime
from reconciler.store.protocol import HistoryEntry

_AFTER_DAMAGE = "unknown, as an earlier change cannot be read"


async def history_of(runtime: Runtime, cluster: str) -> list[Change]:
    """Every change of a cluster's record, oldest first, even of a destroyed cluster.

    A change that cannot be read says so, and those after it that they are unknown.
    Raises `ClusterNotFound` for a name that never existed.
    """
    return list(changes_told(await entries_of(runtime, cluster)))


async def entries_of(runtime: Runtime, cluster: str) -> list[HistoryEntry]:
    """The same as stored. Raises `ClusterNotFound` for a name that never existed."""
    entries = await runtime.store.history(cluster)
    if not entries:
        await existing(runtime.store, cluster)
    return entries


def changes_told(entries: Sequence[HistoryEntry]) -> Iterator[Change]:
    """Each change with its description."""
    before, known = None, 0
    with suppress(StoreUnavailable):
        for entry, (_, after) in zip(entries, documents(entries), strict=True):
            yield Change(**entry.model_dump(), changes=change_in_words(before, after))
            before, known = after, known + 1
    for entry in entries[known:]:
        yield Change(**entry.model_dump(), changes=(entry.unreadable or _AFTER_DAMAGE,))
