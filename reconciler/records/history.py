"""What was wanted of a cluster over time."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from reconciler.records.access import existing
from reconciler.records.change_words import change_in_words
from reconciler.records.recovery import documents
from reconciler.runtime import Runtime
from reconciler.store.protocol import HistoryEntry


class Change(HistoryEntry):
    """One change of a record, and what it was about."""

    changes: tuple[str, ...] = Field(description="In words: what was asked for first, then what followed from it.")


async def history_of(runtime: Runtime, cluster: str) -> list[Change]:
    """Every change of a cluster's record, oldest first, also of one that is gone.

    Raises `ClusterNotFound` for a name that never was, and `StoreUnavailable` for a history that is damaged.
    """
    return list(_told(await entries_of(runtime, cluster)))


async def entries_of(runtime: Runtime, cluster: str) -> list[HistoryEntry]:
    """The same as the store has it. Raises `ClusterNotFound` for a name that never was."""
    entries = await runtime.store.history(cluster)
    if not entries:
        await existing(runtime.store, cluster)
    return entries


def _told(entries: Sequence[HistoryEntry]) -> Iterator[Change]:
    before = None
    for entry, (_, after) in zip(entries, documents(entries), strict=True):
        yield Change(**entry.model_dump(), changes=change_in_words(before, after))
        before = after
