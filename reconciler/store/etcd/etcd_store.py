"""Desired-state records in etcd, for the controllers and front ends of many hosts.

A change compares the key `newest/CLUSTER` and writes it, so of two changes one is first. Its token says afterwards
whether it was made, where the answer to it was lost.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

from reconciler.errors import Conflict, RecordUnreadable, StoreUnavailable, StoreUnreachable
from reconciler.model.event import ClusterEvent
from reconciler.model.host import HostRecord, HostReport
from reconciler.model.origin import Lineage, Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.copies import StoredCluster, not_empty
from reconciler.store.etcd import etcd_copies, etcd_parts
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials
from reconciler.store.etcd.etcd_change_feed import EtcdChangeFeed, EtcdChangeWaiter
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_demands import EtcdDemandWatch, read_demands
from reconciler.store.etcd.etcd_history import EtcdHistory
from reconciler.store.etcd.etcd_meeting import EtcdMeeting
from reconciler.store.etcd.etcd_membership import EtcdMembership
from reconciler.store.etcd.etcd_requests import below, exists, get, one, put, touch, unchanged
from reconciler.store.etcd.event_log import EtcdEventLog
from reconciler.store.etcd.host_registry import EtcdHosts
from reconciler.store.etcd.record_change import REMOVAL, RecordChange, StoredNow, stored_in
from reconciler.store.etcd.round_requests import number_of
from reconciler.store.etcd.small_values import name_from
from reconciler.store.etcd.tidying import EtcdTidying
from reconciler.store.etcd.visitors import EtcdVisitors
from reconciler.store.host_identity import HostIdentity
from reconciler.store.meeting import Meeting, SoleMeeting
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.patch import difference
from reconciler.store.protocol import ClusterEntry, Damage, Demand, HistoryEntry, HostWords
from reconciler.store.record_json import (
    StoredRecord,
    document_of,
    record_of,
    refuse_stale,
    says_no_more,
)

_TRIES = 100
"""So often is a change made again that others were faster with: each time one of them was first."""

_ASKED_FOR_ALONE = 50
"""So many hosts of a cluster are asked for one by one in a request; of more, all hosts of the store are read."""


class EtcdStore:
    """`reconciler.store.protocol.Store` in an etcd cluster, which is spoken to from the first use on.

    Every method raises `StoreUnreachable` where no member answers, and `StoreUnavailable` where etcd refuses.
    """

    def __init__(self, address: EtcdAddress, credentials: EtcdCredentials, *, host: HostIdentity | None = None) -> None:
        """`host` is the host that acts on the records; None only reads and writes them."""
        self._place = str(address)
        self.own_host = host.name if host else ""
        self._etcd = EtcdClient(address, credentials)
        self._hosts = EtcdHosts(self._etcd)
        self._visitors = EtcdVisitors(self._etcd, self.own_host)
        self._tidying = EtcdTidying(self._etcd)
        self._membership = None if host is None else EtcdMembership(self._etcd, self._hosts, host)
        self._feed = EtcdChangeFeed(self._etcd)
        self._events = EtcdEventLog(self._etcd)
        self._history = EtcdHistory(self._etcd)
        self._demands = EtcdDemandWatch(self._etcd, self.own_host)
        self._identity: str | None = None
        self._alive: dict[str, frozenset[str]] = {}
        self._last: dict[str, tuple[int, ClusterRecord]] = {}
        self._tokens: dict[str, tuple[int, dict[int, str]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, cluster_name: str) -> ClusterRecord | None:
        head, stored = await self._etcd.read(one(keys.head(cluster_name)), one(keys.record(cluster_name)))
        return self._record(cluster_name, head, stored)

    async def names(self) -> list[str]:
        (heads,) = await self._etcd.read(below(keys.HEADS, keys_only=True))
        return sorted(keys.name_in(kv.key, keys.HEADS) for kv in heads.kvs)

    async def put(
        self, record: ClusterRecord, *, expected_generation: int, actor: str, consent: Set[str] = frozenset()
    ) -> ClusterRecord:
        agreed = record.model_copy(update={"consent": tuple(sorted(consent))})
        name, document = agreed.cluster_name, document_of(agreed)
        read_back = record_of(name, StoredRecord(expected_generation, document))  # all that is stored is readable

        def decide(found: StoredNow) -> RecordChange | ClusterRecord:
            stored = found.stored()
            refuse_stale(name, found.generation, expected_generation)
            if stored and says_no_more(read_back, before := record_of(name, stored)):
                return before
            patch = difference(stored and stored.document, document)
            return RecordChange(patch, document, read_back.model_copy(update={"generation": found.newest + 1}))

        result = await self._change(name, actor, decide)
        assert isinstance(result, ClusterRecord)
        return result

    async def remove(self, cluster_name: str, *, expected_generation: int, actor: str) -> None:
        def decide(found: StoredNow) -> RecordChange | None:
            refuse_stale(cluster_name, found.generation, expected_generation)
            return RecordChange(REMOVAL, None, None) if found.generation else None

        await self._change(cluster_name, actor, decide)
        self._forget_read(cluster_name)
        await self._history.drop_of_gone()

    async def discard_damaged(self, cluster_name: str, *, actor: str) -> Damage | None:
        def decide(found: StoredNow) -> RecordChange | None:
            try:
                if (stored := found.stored()) is not None:
                    record_of(cluster_name, stored)
            except RecordUnreadable:
                return RecordChange(REMOVAL, None, Damage.RECORD)
            return None

        if await self._change(cluster_name, actor, decide):
            return Damage.RECORD
        try:
            await self.status(cluster_name)
        except RecordUnreadable:
            await self._etcd.change((), etcd_parts.removals_of_words(cluster_name))
            return Damage.STATUS
        return None

    async def history(self, cluster_name: str) -> list[HistoryEntry]:
        return await self._history.entries(cluster_name)

    async def origin(self, cluster_name: str, generation: int) -> Origin | None:
        token = (await self._history.tokens(cluster_name, [generation])).get(generation)
        if token is None:
            return None
        return Origin(store=await self.identity(), generation=generation, token=token, state_dir=self._place)

    async def lineage(self, cluster_name: str, found: Collection[Origin]) -> Lineage:
        identity = await self.identity()
        tokens = await self._tokens_before(cluster_name, {of.generation for of in found if of.store == identity})
        known = frozenset(of for of in found if of.store == identity and tokens.get(of.generation) == of.token)
        return Lineage(identity, known, self._place)

    async def status(self, cluster_name: str) -> RecordStatus | None:
        standing = await self.standing(cluster_name)
        return standing.status if standing else None

    async def put_status(self, status: RecordStatus) -> None:
        name = status.cluster_name
        answer = await self._etcd.change([exists(keys.head(name))], [etcd_parts.write_of(status)])
        if answer.succeeded and status.host == self.own_host:
            self._demands.say(name, answer.header.revision, said=True)

    async def leave(self, cluster_name: str) -> None:
        answer = await self._etcd.change((), [etcd_parts.withdrawal_of(cluster_name, self.own_host)])
        self._demands.say(cluster_name, answer.header.revision, said=False)

    async def standing(self, cluster_name: str) -> ClusterEntry | None:
        among = self._alive.pop(cluster_name, None)
        while True:
            head, stored, request, *words = await self._etcd.read(
                *(one(of(cluster_name)) for of in (keys.head, keys.record, keys.request)),
                *etcd_parts.ranges_of_words(cluster_name, among),
            )
            record = self._record(cluster_name, head, stored)
            if record is None:
                return None
            if (hosts := etcd_parts.words_in(record, self.own_host, words, among)) is not None:
                break
            among = None  # if something has changed of the hosts that matter, all are asked for
        if not hosts.lost:
            self._note_alive(record, hosts)
        if any(since is None for host, since in hosts.lost.items() if host not in hosts.forgotten):
            await self._hosts.all()  # which notes since when
        return etcd_parts.entry_of(record, request, hosts)

    async def demands(self) -> dict[str, Demand]:
        known, _ = await read_demands(self._etcd, self.own_host)
        return known.now()

    def watch_demands(self) -> EtcdDemandWatch:
        self._demands = EtcdDemandWatch(self._etcd, self.own_host)
        return self._demands

    async def request_round(self, cluster_name: str) -> int:
        key = keys.request(cluster_name)
        look = get(one(key))
        answer = await self._etcd.change([exists(key)], [touch(key), look], [put(key, b"0"), look])
        return number_of(answer.responses[1].response_range)

    async def add_events(self, events: Sequence[ClusterEvent]) -> None:
        await self._events.add(events)

    async def events(self, cluster_name: str | None, *, after: int = 0) -> list[ClusterEvent]:
        return await self._events.after(cluster_name, after)

    async def newest_event(self) -> int:
        return await self._events.newest()

    async def identity(self) -> str:
        if self._identity is None:
            mine = secrets.token_hex(8)
            answer = await self._etcd.change(
                [unchanged(keys.IDENTITY, 0)], [put(keys.IDENTITY, mine.encode())], [get(one(keys.IDENTITY))]
            )
            self._identity = mine if answer.succeeded else name_from(answer.responses[0].response_range.kvs[0].value)
        return self._identity

    async def take_identity(self, identity: str) -> None:
        if await self.identity() != identity:
            if await self.known():
                raise not_empty(self._place)
            await self._etcd.change((), [put(keys.IDENTITY, identity.encode())])
            self._identity = identity

    async def known(self) -> list[str]:
        return await etcd_copies.known_in(self._etcd)

    async def exported(self, cluster_name: str) -> StoredCluster:
        return await etcd_copies.exported(self._etcd, self._events, cluster_name)

    async def load(self, cluster: StoredCluster) -> None:
        await etcd_copies.load(self._etcd, self._events, cluster)

    async def hosts(self) -> dict[str, HostRecord]:
        return await self._hosts.all()

    async def put_host(self, report: HostReport) -> None:
        await self._hosts.put(report)

    async def cordon_host(self, name: str, *, cordoned: bool) -> None:
        await self._hosts.cordon(name, cordoned=cordoned)

    async def remove_host(self, name: str) -> None:
        await self._hosts.remove(name)

    async def home_host(self) -> str:
        return await self._hosts.home()

    async def take_home(self, name: str) -> None:
        await self._hosts.take_home(name)

    async def host_addresses(self, names: Collection[str]) -> dict[str, IPv4Address | IPv6Address]:
        return await self._hosts.addresses(names)

    async def network_number(self, cluster_name: str) -> int:
        return await self._hosts.network_number(cluster_name)

    async def visitors(self, cluster_name: str) -> Mapping[str, IPv4Address]:
        return await self._visitors.of(cluster_name)

    async def visit(self, cluster_name: str, addresses: Sequence[IPv4Address]) -> None:
        await self._visitors.visit(cluster_name, addresses)

    def meeting(self, cluster_name: str, matter: str, hosts: Set[str]) -> Meeting:
        if hosts <= {self.own_host}:
            return SoleMeeting()
        return EtcdMeeting(self._etcd, self._feed, cluster_name, matter, self.own_host, hosts)

    async def tidy(self) -> None:
        await self._tidying.turn()

    def membership(self) -> EtcdMembership:
        assert self._membership is not None, "a client that is no host does not act"
        return self._membership

    async def watch(self) -> EtcdChangeWaiter:
        return EtcdChangeWaiter(self._feed, await self._feed.revision())

    async def close(self) -> None:
        await self._feed.close()
        if self._membership is not None:
            await self._membership.close()
        await self._etcd.close()

    def _record(self, name: str, head: Any, stored: Any) -> ClusterRecord | None:
        """The record as it was read; the same revision is not taken apart twice."""
        if not head.kvs:
            self._forget_read(name)
            return None
        revision = stored.kvs[0].mod_revision if stored.kvs else 0
        last = self._last.get(name)
        if last is None or last[0] != revision:
            last = self._last[name] = (revision, record_of(name, stored_in(name, head, stored)))
        return last[1]

    def _note_alive(self, record: ClusterRecord, hosts: HostWords) -> None:
        """The next look asks for these hosts only, however many the store has."""
        matter = (nodes_by_host(record, hosts.home).keys() | hosts.words.keys()) - {self.own_host, ""}
        if len(matter) <= _ASKED_FOR_ALONE:
            self._alive[record.cluster_name] = frozenset(matter)

    def _forget_read(self, name: str) -> None:
        self._last.pop(name, None)
        self._tokens.pop(name, None)

    async def _tokens_before(self, name: str, generations: Set[int]) -> dict[int, str]:
        """The tokens of earlier generations; those before the same revision of a record are not read twice."""
        revision = self._last[name][0] if name in self._last else 0
        at, known = self._tokens.get(name, (0, {}))
        known = known if at == revision else {}
        known = known | await self._history.tokens(name, sorted(generations - known.keys()))
        if revision:
            self._tokens[name] = (revision, known)
        return known

    async def _change(self, name: str, actor: str, decide: Callable[[StoredNow], RecordChange | Any]) -> Any:
        """Make the change that `decide` makes of what is stored, again from the start where another came first."""
        token, tried = secrets.token_hex(8), (0, None)
        for _ in range(_TRIES):
            found = StoredNow(name, *await self._etcd.read(*StoredNow.ranges(name)))
            if tried[0] and (await self._history.tokens(name, [tried[0]])).get(tried[0]) == token:
                return tried[1]  # it was made, and the answer to it was lost
            change = decide(found)
            if not isinstance(change, RecordChange):
                return change
            generation = found.newest + 1
            tried = (generation, change.result)
            entry = {"actor": actor, "at": datetime.now(UTC).isoformat(), "patch": change.patch, "token": token}
            operations = [
                put(keys.newest(name), b"%d" % generation),
                put(keys.history(name, generation), keys.packed_json(entry)),
                *change.operations(name, generation),
            ]
            is_same = [unchanged(keys.newest(name), found.revision)]
            if await self._made(name, generation, token, self._etcd.change(is_same, operations)):
                await self._history.drop_old(name, generation)
                return change.result
        raise Conflict(f"other clients keep changing the record of cluster {name}", hint="try again")

    async def _made(self, name: str, generation: int, token: str, making: Awaitable[Any]) -> bool:
        """Whether the change was made; etcd makes the one that fills its database, and refuses it (3.4, applier)."""
        try:
            return bool((await making).succeeded)
        except StoreUnreachable:
            raise
        except StoreUnavailable:
            if (await self._history.tokens(name, [generation])).get(generation) == token:
                return True
            raise
