"""The demands of the clusters that a host has a part of: read once, then updated from what changes."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import OPERATIONS_LIMIT, below, get, one
from reconciler.store.etcd.small_values import name_from, names_or_none, number_or_zero
from reconciler.store.protocol import Demand

_PAUSE_S = 0.2
_RANGES = (below(keys.HEADS), below(keys.REQUESTS), below(keys.PARTS), below(keys.VISITORS), one(keys.HOME))
_FOLLOWED = [(prefix, keys.end_of(prefix)) for prefix in (keys.HEADS, keys.REQUESTS, keys.PARTS, keys.VISITORS)] + [
    (keys.HOME, b"")
]
"""What hosts said is not followed: a host's own words are those that it has said since."""


async def read_demands(etcd: EtcdClient, host: str) -> tuple["Demands", int]:
    """The demands of a host, or without one those of all clusters, as of a revision of etcd, which is the second.

    Of clusters on other hosts it is asked for each whether this one has said something: few have it do so, and all that
    all hosts said of all clusters is too much for hosts that start together.
    """
    answer = await etcd.change((), [get(of) for of in _RANGES])
    revision, known = int(answer.header.revision), Demands(host)
    for response in answer.responses:
        for kv in response.response_range.kvs:
            known.put(kv)
    elsewhere = known.elsewhere()
    for begin in range(0, len(elsewhere), OPERATIONS_LIMIT):
        some = elsewhere[begin : begin + OPERATIONS_LIMIT]
        words = (one(keys.statuses(name) + host.encode(), keys_only=True, revision=revision) for name in some)
        for name, found in zip(some, await etcd.read(*words), strict=True):
            if found.kvs:
                known.say(name, said=True)
    return known, revision


class Demands:
    """What keys say of demands; one write at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._home = ""
        self._heads: dict[str, int] = {}
        self._requests: dict[str, int] = {}
        self._placed: dict[str, frozenset[str] | None] = {}
        """None: what is there is no list of hosts, so that each has to look at the record."""
        self._visitors: dict[str, dict[bytes, str]] = {}
        self._said: set[str] = set()

    def now(self) -> dict[str, Demand]:
        return {
            name: Demand(generation, self._requests.get(name, 0), self._visitors_of(name))
            for name, generation in self._heads.items()
            if self._is_ours(name)
        }

    def elsewhere(self) -> list[str]:
        """The clusters that the host has no part of, as far as it is known."""
        return [name for name in self._heads if not self._is_ours(name)]

    def put(self, kv: Any) -> bool:
        """Take in a write; whether it may change demands of this host."""
        key, value = kv.key, kv.value
        if key == keys.HOME:
            self._home = name_from(value)
            return True
        if key.startswith(keys.HEADS):
            name = keys.name_in(key, keys.HEADS)
            was_ours = name in self._heads and self._is_ours(name)
            self._heads[name] = number_or_zero(value)
            return was_ours or self._is_ours(name)
        if key.startswith(keys.REQUESTS):
            name = keys.name_in(key, keys.REQUESTS)
            self._requests[name] = number_or_zero(value) + kv.version
            return self._is_ours(name)
        if key.startswith(keys.PARTS):
            name = keys.name_in(key, keys.PARTS)
            was_ours = self._is_ours(name)
            self._placed[name] = names_or_none(value)
            return was_ours or self._is_ours(name)
        if key.startswith(keys.VISITORS):
            name = keys.name_in(key, keys.VISITORS)
            was_ours = self._is_ours(name)
            self._visitors.setdefault(name, {})[key] = name_from(value)
            return was_ours or self._is_ours(name)
        return True

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
        return False

    def _visitors_of(self, name: str) -> frozenset[str]:
        return frozenset(self._visitors.get(name, {}).values())

    def say(self, name: str, *, said: bool) -> None:
        """Take in that this host has said something of a cluster, or has taken it back."""
        (self._said.add if said else self._said.discard)(name)

    def _is_ours(self, name: str) -> bool:
        if not self._host or name in self._said or self._host in self._visitors_of(name):
            return True
        placed = self._placed.get(name, frozenset({""}))
        return placed is None or self._host in placed or ("" in placed and self._host == self._home)


class EtcdDemandWatch:
    """`reconciler.store.protocol.DemandWatch` on a stream of its own, of small keys only."""

    def __init__(self, etcd: EtcdClient, host: str) -> None:
        self._etcd, self._host = etcd, host
        self._known = Demands(host)
        self._changes: AsyncIterator[tuple[int, Sequence[Any]]] | None = None
        self._said_meanwhile: dict[str, bool] = {}
        self._said_at: dict[str, int] = {}

    async def next(self) -> Mapping[str, Demand]:
        changes, self._changes = self._changes, None
        if changes is not None:
            async for _, events in changes:
                if self._take_in(events):
                    self._changes = changes
                    return self._known.now()
            await asyncio.sleep(_PAUSE_S)  # the member that was followed went away
        return await self._read()

    def say(self, cluster: str, revision: int, *, said: bool) -> None:
        """Take in what this host has said of a cluster, or taken back, in that revision of the store."""
        self._known.say(cluster, said=said)
        self._said_meanwhile[cluster] = said
        self._said_at[cluster] = revision

    async def _read(self) -> Mapping[str, Demand]:
        """Everything, at first and when the stream has ended."""
        self._said_meanwhile = {}
        self._known, revision = await read_demands(self._etcd, self._host)
        for name, said in self._said_meanwhile.items():
            self._known.say(name, said=said)
        self._changes = self._etcd.follow(_FOLLOWED, revision)
        return self._known.now()

    def _forget_words_before(self, head: Any) -> None:
        """What was said of an earlier record went with it; what was said since is known before this is heard."""
        name = keys.name_in(head.key, keys.HEADS)
        if self._said_at.get(name, 0) < head.mod_revision:
            self._known.say(name, said=False)

    def _take_in(self, events: Iterable[Any]) -> bool:
        is_changed = False
        for event in events:
            known = self._known
            if event.kv.key.startswith(keys.HEADS) and event.kv.version <= 1:  # a new record, or none
                self._forget_words_before(event.kv)
            changes = known.delete(event.kv.key) if event.type == event.DELETE else known.put(event.kv)
            is_changed = changes or is_changed
        return is_changed
