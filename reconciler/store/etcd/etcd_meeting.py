"""Meetings of hosts in etcd: one key with the decision, and one for how far each host has come.

The decision is compared and swapped, so that of agreeing and calling off exactly one happens; no coordinator is needed.
"""

import asyncio
import json
import time
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.errors import StoreUnreachable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_change_feed import EtcdChangeFeed, EtcdChangeWaiter
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import below, delete_below, one, put, unchanged
from reconciler.store.etcd.record_change import document_of_value
from reconciler.store.etcd.small_values import number_in, number_or_zero
from reconciler.store.meeting import CalledOff, Phase
from reconciler.store.record_json import unreadable

_ANSWER_S = 2.0
"""How long after the end of a phase the store may take for its answer: nodes may stand still meanwhile."""
_LOOK_AGAIN_S = 1.0
"""How often hosts are looked for that do not answer because they are gone."""


class _State(StrEnum):
    OPEN = "open"
    AGREED = "agreed"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is decided so far; each attempt after one that was called off has its own number."""

    state: _State = _State.OFF
    attempt: int = 0
    why: str = ""
    revision: int = 0

    def value(self) -> bytes:
        return json.dumps({"state": self.state, "attempt": self.attempt, "why": self.why}).encode()


class EtcdMeeting:
    """`reconciler.store.meeting.Meeting` of the hosts of a cluster about one matter."""

    shared = True

    def __init__(
        self, etcd: EtcdClient, feed: EtcdChangeFeed, cluster: str, matter: str, host: str, hosts: Set[str]
    ) -> None:
        self._etcd, self._feed = etcd, feed
        self._key = keys.meeting(cluster, matter)
        self._said = self._key + b"/"
        self._matter, self._host, self._hosts = matter, host, hosts
        self._what = f"meeting of the hosts of cluster {cluster}"
        self._mine = _Decision()

    async def begin(self) -> bool:
        while True:
            found = await self._decision()
            if found.state is _State.OFF:
                opened = _Decision(_State.OPEN, found.attempt + 1)
                await self._decide(found, opened, delete_below(self._said))
                continue  # this host or another was first
            self._mine = found
            return found.state is _State.OPEN

    async def reach(self, phase: Phase, *, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s + _ANSWER_S):
                await self._reach(phase, limit_s)
        except TimeoutError:
            told = f"the store did not answer in time, so it is not known how far other hosts are with {self._matter}"
            raise StoreUnreachable(told, hint="it is called off once the store answers") from None

    async def _reach(self, phase: Phase, limit_s: float) -> None:
        if self._mine.state is _State.AGREED:
            return
        waiter = EtcdChangeWaiter(self._feed, await self._feed.revision())
        say = put(self._said + self._host.encode(), b"%d" % phase)
        if not (await self._etcd.change([unchanged(self._key, self._mine.revision)], [say])).succeeded:
            await self._require_open()
        deadline = time.monotonic() + limit_s
        while behind := await self._behind(phase):
            if time.monotonic() > deadline:
                await self._end(f"{_names(behind)} did not get this far within {limit_s:g} s")
            await waiter.wait(timeout_s=_LOOK_AGAIN_S)

    async def agree(self) -> None:
        agreed = _Decision(_State.AGREED, self._mine.attempt)
        if self._mine.state is not _State.AGREED and not await self._decide(self._mine, agreed):
            await self._require_open()

    async def call_off(self, why: str) -> bool:
        while True:
            found = await self._decision()
            if found.state is _State.AGREED:
                return False
            mine = self._mine.attempt or found.attempt
            if found.state is _State.OFF or found.attempt != mine:
                return True
            await self._decide(found, _Decision(_State.OFF, found.attempt, f"host {self._host}: {why}"))

    async def _behind(self, phase: Phase) -> Set[str]:
        """The hosts that have not come so far. Raises `CalledOff`; calls it off if one of them is gone."""
        said, alive = await self._etcd.read(below(self._said), below(keys.ALIVE, keys_only=True))
        there = {keys.name_in(kv.key, self._said): number_or_zero(kv.value) for kv in said.kvs}
        behind = {host for host in self._hosts if there.get(host, 0) < phase}
        if not behind:
            return behind
        await self._require_open()
        if self._mine.state is _State.AGREED:
            return frozenset()
        if gone := behind - {keys.name_in(kv.key, keys.ALIVE) for kv in alive.kvs}:
            await self._end(f"{_names(gone)} is away")
        return behind

    async def _require_open(self) -> None:
        """Raise `CalledOff` unless this attempt goes on, or is agreed."""
        found = await self._decision()
        if found.attempt != self._mine.attempt or found.state is _State.OFF:
            why = found.why or "another attempt has begun"
            raise CalledOff(f"{self._matter} was called off on all hosts: {why}", hint="try again")
        self._mine = found

    async def _end(self, why: str) -> None:
        await self.call_off(why)
        await self._require_open()

    async def _decision(self) -> _Decision:
        (found,) = await self._etcd.read(one(self._key))
        if not found.kvs:
            return _Decision()
        said = document_of_value(found.kvs[0].value, self._what)
        try:
            state, attempt = _State(said["state"]), number_in(str(said["attempt"]).encode(), self._what)
        except (KeyError, ValueError) as error:
            raise unreadable(self._what, f"it is no decision: {error}") from error
        return _Decision(state, attempt, str(said.get("why")), found.kvs[0].mod_revision)

    async def _decide(self, found: _Decision, now: _Decision, *more: Any) -> bool:
        """Change the decision; False if somebody else was first, or the answer of a success was lost."""
        writes = [put(self._key, now.value()), *more]
        return bool((await self._etcd.change([unchanged(self._key, found.revision)], writes)).succeeded)


def _names(hosts: Set[str]) -> str:
    return f"host {', '.join(sorted(hosts))}"
