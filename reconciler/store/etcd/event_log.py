"""The events of all clusters in etcd.

An event's number is the revision that wrote it and its place in that request, so numbers grow over all clusters and
nobody has to hand them out.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from reconciler.model.event import ClusterEvent
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import OPERATIONS_LIMIT, below, count_below, delete, oldest_below, one, put
from reconciler.store.etcd.small_values import number_or_zero
from reconciler.store.event_rows import EventRow, events_in
from reconciler.store.record_json import text_of
from reconciler.store.sql_tables import KEPT_EVENTS

_PLACES = 128
_AT_ONCE = 50
_SURPLUS = 100
"""So many events above those that are kept are tolerated before the oldest are deleted."""


class EtcdEventLog:
    """The last `KEPT_EVENTS` events of each cluster."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd

    async def add(self, events: Sequence[ClusterEvent]) -> None:
        """Append events in their order."""
        await self._add_all([(event.cluster_name, event.model_dump_json(exclude={"number"})) for event in events])

    async def add_texts(self, cluster: str, events: Sequence[str]) -> None:
        """The same with events of one cluster as JSON."""
        await self._add_all([(cluster, text) for text in events])

    async def texts(self, cluster: str) -> list[tuple[int, str]]:
        """Number and JSON of the events of one cluster that are kept, oldest first."""
        (found,) = await self._etcd.read(below(keys.events(cluster)))
        return sorted((_number(kv), _text(kv, cluster)) for kv in found.kvs)[-KEPT_EVENTS:]

    async def after(self, cluster: str | None, number: int) -> list[ClusterEvent]:
        """The events above a number, oldest first; those of all clusters for None."""
        prefix = keys.EVENTS if cluster is None else keys.events(cluster)
        (found,) = await self._etcd.read(below(prefix, min_create_revision=number // _PLACES))
        by_cluster: dict[str, list[EventRow]] = defaultdict(list)
        for kv in found.kvs:
            name = keys.name_in(kv.key, keys.EVENTS)
            by_cluster[name].append((_number(kv), name, partial(_text, kv, name)))
        by_number = [sorted(rows, key=itemgetter(0)) for rows in by_cluster.values()]
        kept = (event for rows in by_number for event in events_in(rows[-KEPT_EVENTS:]) if event.number > number)
        return sorted(kept, key=lambda event: event.number)

    async def newest(self) -> int:
        """A number that no event of now is above."""
        (mark,) = await self._etcd.read(one(keys.EVENT_MARK))
        return mark.kvs[0].mod_revision * _PLACES + _PLACES - 1 if mark.kvs else 0

    async def _add_all(self, events: Sequence[tuple[str, str]]) -> None:
        for begin in range(0, len(events), _AT_ONCE):
            await self._add(events[begin : begin + _AT_ONCE])
        for name in sorted({name for name, _ in events}):
            await self._drop_old(name)

    async def _add(self, events: Sequence[tuple[str, str]]) -> None:
        stem = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        writes = [
            put(keys.events(name) + f"{stem}-{place:03d}".encode(), keys.packed(text))
            for place, (name, text) in enumerate(events)
        ]
        await self._etcd.change((), [*writes, put(keys.EVENT_MARK, b"")])

    async def _drop_old(self, cluster: str) -> None:
        (count,) = await self._etcd.read(count_below(keys.events(cluster)))
        surplus = count.count - KEPT_EVENTS
        if surplus < _SURPLUS:
            return
        (oldest,) = await self._etcd.read(oldest_below(keys.events(cluster), min(surplus, OPERATIONS_LIMIT)))
        await self._etcd.change((), [delete(kv.key) for kv in oldest.kvs])


def _text(kv: Any, cluster: str) -> str:
    return text_of(kv.value, keys.unpacked, f"event {_number(kv)} of cluster {cluster}")


def _number(kv: Any) -> int:
    return int(kv.create_revision) * _PLACES + number_or_zero(kv.key.rpartition(b"-")[2])
