"""Stored events, each read for itself: one that cannot be read is an event that says so. Pure."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from reconciler.errors import RecordUnreadable
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.store.record_json import loaded, parsed

EventRow = tuple[int, str, Callable[[], str]]
"""An event's number, its cluster, and what gives its JSON, or raises `RecordUnreadable`."""

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def events_in(rows: Iterable[EventRow]) -> Iterator[ClusterEvent]:
    """The events in their order; one that cannot be read has the time of the one before it."""
    at = _NO_TIME
    for number, cluster, text in rows:
        event = _event(number, cluster, text, at)
        at = event.at
        yield event


def _event(number: int, cluster: str, text: Callable[[], str], at: datetime) -> ClusterEvent:
    what = f"event {number} of cluster {cluster}"
    try:
        return parsed(ClusterEvent, loaded(text(), what), what).model_copy(update={"number": number})
    except RecordUnreadable as error:
        return ClusterEvent(
            number=number,
            cluster_name=cluster,
            at=at,
            kind=EventKind.EVENT_UNREADABLE,
            subject="event",
            message=f"{error.message} (nothing else depends on it)",
        )
