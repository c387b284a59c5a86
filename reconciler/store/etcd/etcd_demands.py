"""The demands of the clusters that a host has a part of: read once, and then kept up with by what is changed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.errors import StoreUnavailable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.change_feed import EtcdChangeFeed, EtcdChangeWaiter
from reconciler.store.etcd.client import EtcdClient
from reconciler.store.etcd.etcd_parts import host_in
from reconciler.store.etcd.etcd_requests import below, get, one
from reconciler.store.protocol import Demand

RANGES_OF_DEMANDS = (
    below(keys.HEADS),
    below(keys.REQUESTS),
    below(keys.PARTS),
    below(keys.VISITORS),
    below(keys.STATUSES, keys_only=True),
    one(keys.HOME),
)
_LONG_S = 3600.0


def demands_in(host: str, answers: Iterable[Any]) -> dict[str, Demand]:
    """The demands of the clusters of which a host has, or is to have, a part; without a host, of all."""
    read = Demands(host)
    for answer in answers:
        for kv in answer.kvs:
            read.put(kv)
    return read.now()


class Demands:
    """What keys say of demands; one write at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._home = ""
        self._heads: dict[str, int] = {}
        self._requests: dict[str, int] = {}
        self._placed: dict[str, frozenset[str]] = {}
        self._visitors: dict[str, dict[bytes, str]] = {}
        self._said: set[str] = set()

    def now(self) -> dict[str, Demand]:
        return {
            name: Demand(generation, self._requests.get(name, 0), self._visitors_of(name))
            for name, generation in self._heads.items()
            if self._is_ours(name)
        }

    def put(self, kv: Any) -> bool:
        """Take in a write; whether it may change demands of this host."""
        key, value = kv.key, kv.value
        if key == keys.HOME:
            self._home = value.decode()
            return True
        if key.startswith(keys.HEADS):
            name = keys.name_in(key, keys.HEADS)
            self._heads[name] = int(value)
            return self._is_ours(name)
        if key.startswith(keys.REQUESTS):
            name = keys.name_in(key, keys.REQUESTS)
            self._requests[name] = int(value) + kv.version
            return self._is_ours(name)
        if key.startswith(keys.PARTS):
            name = keys.name_in(key, keys.PARTS)
            self._placed[name] = frozenset(json.loads(value))
            return self._is_ours(name)
        if key.startswith(keys.VISITORS):
            name = keys.name_in(key, keys.VISITORS)
            self._visitors.setdefault(name, {})[key] = value.decode()
            return self._is_ours(name)
        return self._put_word(key)

    def _put_word(self, key: bytes) -> bool:
        if not key.startswith(keys.STATUSES) or host_in(key) != self._host:
            return False
        name = keys.name_in(key, keys.STATUSES)
        is_new = name not in self._said
        self._said.add(name)
        return is_new

    def delete(self, key: bytes) -> bool:
        """Take in a deletion; whether it may change demands of this host."""
        places: Sequence[tuple[bytes, dict[str, Any]]] = (
            (keys.HEADS, self._heads),
            (keys.REQUESTS, self._requests),
            (keys.PARTS, self._placed),
        )
        for prefix, place in places:
            if key.startswith(prefix):
                return place.pop(keys.name_in(key, prefix), None) is not None
        if key.startswith(keys.VISITORS):
            return self._visitors.get(keys.name_in(key, keys.VISITORS), {}).pop(key, None) is not None
        if key.startswith(keys.STATUSES) and host_in(key) == self._host:
            self._said.discard(keys.name_in(key, keys.STATUSES))
            return True
        return False

    def _visitors_of(self, name: str) -> frozenset[str]:
        return frozenset(self._visitors.get(name, {}).values())

    def _is_ours(self, name: str) -> bool:
        if not self._host or name in self._said or self._host in self._visitors_of(name):
            return True
        placed = self._placed.get(name, frozenset({""}))
        return self._host in placed or ("" in placed and self._host == self._home)


class EtcdDemandWatch:
    """`reconciler.store.protocol.DemandWatch` on a change feed; nothing is read again unless changes were missed."""

    def __init__(self, etcd: EtcdClient, feed: EtcdChangeFeed, host: str) -> None:
        self._etcd, self._feed, self._host = etcd, feed, host
        self._waiter: EtcdChangeWaiter | None = None
        self._known: Demands | None = None
        self._read_at = 0
        self._missed = self._changed = False
        self._early: list[tuple[int, Sequence[Any]]] = []

    async def next(self) -> Mapping[str, Demand]:
        if self._waiter is None:
            self._feed.listen(self)
            self._waiter = EtcdChangeWaiter(self._feed, await self._feed.revision())
        try:
            while not self._changed and self._known is not None and not self._missed:
                await self._waiter.wait(timeout_s=_LONG_S)
        except StoreUnavailable:
            self._missed = True
            raise
        known = self._known if self._known is not None and not self._missed else await self._read()
        self._changed = False
        return known.now()

    def note(self, revision: int, events: Sequence[Any]) -> None:
        if self._known is None or self._missed:
            self._early.append((revision, events))
        elif revision > self._read_at:
            self._changed = self._take_in(self._known, events) or self._changed

    def miss(self) -> None:
        self._missed = True

    async def _read(self) -> Demands:
        """Everything, and the changes that came meanwhile."""
        self._known, self._missed, self._early = None, False, []
        answer = await self._etcd.change((), [get(of) for of in RANGES_OF_DEMANDS])
        self._read_at = answer.header.revision
        known = Demands(self._host)
        for response in answer.responses:
            for kv in response.response_range.kvs:
                known.put(kv)
        for revision, events in self._early:
            if revision > self._read_at:
                self._take_in(known, events)
        self._known = known
        return known

    def _take_in(self, known: Demands, events: Iterable[Any]) -> bool:
        is_changed = False
        for event in events:
            changes = known.delete(event.kv.key) if event.type == event.DELETE else known.put(event.kv)
            is_changed = changes or is_changed
        return is_changed
