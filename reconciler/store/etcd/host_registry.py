"""The hosts that share an etcd. A key bound to a host's lease says whether it is alive."""

import time
from collections.abc import Collection
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

from reconciler.errors import Conflict, HostNotFound, RecordUnreadable
from reconciler.model.host import HostRecord, HostReport
from reconciler.model.status import RecordStatus
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_parts import host_in, write_of
from reconciler.store.etcd.etcd_requests import OPERATIONS_LIMIT, below, delete, exists, get, one, put, unchanged
from reconciler.store.etcd.small_values import moment_or_none, name_from, number_in
from reconciler.store.record_json import document_in, parsed, text_of

ADDRESS_S = 20.0
"""For so long the address of a host is not read again, for however many clusters: hosts look at each twice a minute."""


class EtcdHosts:
    """Reads and writes the records of hosts."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._addresses: dict[str, tuple[float, IPv4Address | IPv6Address]] = {}

    async def all(self) -> dict[str, HostRecord]:
        """Every host that has reported, by name, sorted. That one is lost is noted by the first who sees it."""
        prefixes = (keys.HOSTS, keys.CORDONS, keys.ALIVE, keys.LOST)
        found = await self._etcd.read(*map(below, prefixes))
        hosts, cordons, alive, lost = (
            {keys.name_in(kv.key, prefix): kv.value for kv in answer.kvs}
            for prefix, answer in zip(prefixes, found, strict=True)
        )
        for name in hosts.keys() - alive.keys() - lost.keys():
            lost[name] = await self._note_loss(name)
        return {
            name: _record(name, value, None if name in alive else lost[name], cordoned=name in cordons)
            for name, value in sorted(hosts.items())
        }

    async def addresses(self, names: Collection[str]) -> dict[str, IPv4Address | IPv6Address]:
        """Where those of these hosts that have told are reached by the others, as of `ADDRESS_S` ago at most."""
        now_s = time.monotonic()
        self._addresses = {name: of for name, of in self._addresses.items() if now_s - of[0] < ADDRESS_S}
        wanted = sorted(set(names) - self._addresses.keys())
        for begin in range(0, len(wanted), OPERATIONS_LIMIT):
            some = wanted[begin : begin + OPERATIONS_LIMIT]
            found = await self._etcd.read(*(one(keys.HOSTS + of.encode()) for of in some))
            for name, answer in zip(some, found, strict=True):
                if answer.kvs and (address := _said(name, answer.kvs[0].value).address) is not None:
                    self._addresses[name] = (now_s, address)
        return {name: self._addresses[name][1] for name in names if name in self._addresses}

    async def put(self, report: HostReport) -> None:
        """Write what a host says of itself."""
        await self._etcd.change((), [put(keys.HOSTS + report.name.encode(), keys.packed(report.model_dump_json()))])

    async def cordon(self, name: str, *, cordoned: bool) -> None:
        """Write or delete the mark that keeps new nodes off a host."""
        key = keys.CORDONS + name.encode()
        write = put(key, b"") if cordoned else delete(key)
        if not (await self._etcd.change([exists(keys.HOSTS + name.encode())], [write])).succeeded:
            raise await self._not_found(name)

    async def remove(self, name: str) -> None:
        """Delete everything of a host whose lease has ended; its name is free then.

        No other host takes over nodes without a host by itself: they are placed again, which their plan tells.
        """
        everything = (keys.HOSTS, keys.CORDONS, keys.LOST, keys.CLAIMS)
        removal = [delete(prefix + name.encode()) for prefix in everything]
        while True:
            own = [one(of + name.encode()) for of in (keys.HOSTS, keys.ALIVE)]
            host, alive, home = await self._etcd.read(*own, one(keys.HOME))
            if not host.kvs:
                raise await self._not_found(name)
            if alive.kvs:
                hint = "stop `vmcluster watch` there, then wait until its lease has run out"
                raise Conflict(f"host {name} is alive", hint=hint)
            await self._forget_words(name)
            is_home = bool(home.kvs) and name_from(home.kvs[0].value) == name
            conditions = [
                exists(keys.HOSTS + name.encode()),
                unchanged(keys.ALIVE + name.encode(), 0),
                unchanged(keys.HOME, home.kvs[0].mod_revision if home.kvs else 0),
            ]
            writes = [*removal, put(keys.HOME, b"")] if is_home else removal
            if (await self._etcd.change(conditions, writes)).succeeded:
                return

    async def _forget_words(self, name: str) -> None:
        """What the host has of clusters does not matter any longer; if it comes back, it has to look what that is."""
        (words,) = await self._etcd.read(below(keys.STATUSES, keys_only=True))
        clusters = [keys.name_in(kv.key, keys.STATUSES) for kv in words.kvs if host_in(kv.key) == name]
        own = [write_of(RecordStatus.of_nothing_seen(cluster, name, datetime.now(UTC))) for cluster in clusters]
        for begin in range(0, len(own), OPERATIONS_LIMIT):
            is_gone = unchanged(keys.ALIVE + name.encode(), 0)
            await self._etcd.change([is_gone], own[begin : begin + OPERATIONS_LIMIT])

    async def home(self) -> str:
        """The host that nodes without a host are on; empty if there is none."""
        (found,) = await self._etcd.read(one(keys.HOME))
        return name_from(found.kvs[0].value) if found.kvs else ""

    async def take_home(self, name: str) -> None:
        """Make a host the home of nodes without a host, if there never was one."""
        await self._etcd.change([unchanged(keys.HOME, 0)], [put(keys.HOME, name.encode())])

    async def network_number(self, cluster: str) -> int:
        """The number of a cluster's network; it is given at the first request."""
        key = keys.network(cluster)
        while True:
            given, last = await self._etcd.read(one(key), one(keys.NETWORKS))
            if given.kvs:
                return number_in(given.kvs[0].value, f"number of the network of cluster {cluster}")
            number, revision = (last.kvs[0].version, last.kvs[0].mod_revision) if last.kvs else (0, 0)
            conditions = [unchanged(key, 0), unchanged(keys.NETWORKS, revision)]
            await self._etcd.change(conditions, [put(key, b"%d" % (number + 1)), put(keys.NETWORKS, b"")])

    async def _note_loss(self, name: str) -> bytes:
        now = datetime.now(UTC).isoformat().encode()
        key = keys.LOST + name.encode()
        conditions = [unchanged(key, 0), unchanged(keys.ALIVE + name.encode(), 0)]
        answer = await self._etcd.change(conditions, [put(key, now)], [get(one(key))])
        kvs = [] if answer.succeeded else answer.responses[0].response_range.kvs
        return kvs[0].value if kvs else now

    async def _not_found(self, name: str) -> HostNotFound:
        (found,) = await self._etcd.read(below(keys.HOSTS, keys_only=True))
        return HostNotFound.named(name, (keys.name_in(kv.key, keys.HOSTS) for kv in found.kvs))


def _record(name: str, value: bytes, lost: bytes | None, *, cordoned: bool) -> HostRecord:
    """The record of a host; `lost` is since when it is not alive."""
    seen = {"cordoned": cordoned, "alive": lost is None, "lost_since": None if lost is None else moment_or_none(lost)}
    return _said(name, value).model_copy(update=seen)


def _said(name: str, value: bytes) -> HostRecord:
    """What a host says of itself."""
    what = f"record of host {name}"
    try:
        report = parsed(HostReport, document_in(text_of(value, keys.unpacked, what), what), what)
    except RecordUnreadable as error:
        hint = "a restart of `vmcluster watch` on that host writes it again"
        return HostRecord.of_unreadable(name, f"{error.message} ({hint})")
    return HostRecord(**dict(report))
