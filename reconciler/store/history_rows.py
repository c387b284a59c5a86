"""Stored changes of a record, each read for itself: one that cannot be read is an entry that says so. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.errors import RecordUnreadable
from reconciler.store.protocol import HistoryEntry
from reconciler.store.record_json import parsed

ChangeRow = tuple[int, Callable[[], Mapping[str, Any]]]
"""A change's generation, and what gives its actor, time and patch, or raises `RecordUnreadable`."""

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS = ("actor", "at", "patch")


def entries_in(cluster: str, rows: Iterable[ChangeRow]) -> Iterator[HistoryEntry]:
    """The entries of a cluster's history in their order."""
    at = _NO_TIME
    for generation, change in rows:
        entry = _entry(cluster, generation, change, at)
        at = entry.at
        yield entry


def _entry(cluster: str, generation: int, change: Callable[[], Mapping[str, Any]], before_at: datetime) -> HistoryEntry:
    what = f"change {generation} in the history of cluster {cluster}"
    key: dict[str, Any] = {"cluster_name": cluster, "generation": generation}
    try:
        said = change()
        return parsed(HistoryEntry, {**key, **{part: said.get(part) for part in _PARTS}}, what)
    except RecordUnreadable as error:
        return HistoryEntry(**key, actor="", at=before_at, patch=(), unreadable=error.message)
