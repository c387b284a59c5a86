"""What the hosts of a cluster say of their parts, as it is kept in etcd. Pure."""

import json
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address
from typing import Any

from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_requests import below, delete, delete_below, one, put
from reconciler.store.etcd.round_requests import number_of
from reconciler.store.etcd.small_values import moment_or_none, name_from
from reconciler.store.merged_status import merged_status, nodes_by_host
from reconciler.store.protocol import ClusterEntry, HostWords
from reconciler.store.record_json import document_in, parsed, text_of


def ranges_of_words(cluster: str, among: Collection[str] | None) -> tuple[Any, ...]:
    """What `words_in` takes: `among` are the hosts that are asked for, None asks for all of the store."""
    names = (one(keys.status(cluster)), below(keys.statuses(cluster)), one(keys.HOME), below(keys.visitors(cluster)))
    if among is not None:
        return (*names, *(one(keys.ALIVE + host.encode(), keys_only=True) for host in among))
    return (*names, below(keys.ALIVE, keys_only=True), below(keys.LOST), below(keys.CLAIMS, keys_only=True))


def words_in(
    record: ClusterRecord, own: str, answers: Iterable[Any], among: Collection[str] | None
) -> HostWords | None:
    """What each host said last; a word without a host is that of the first one. The `own` host is never lost.

    What a forgotten one says counts again when it is back. None if only all hosts of the store tell: one that the
    cluster has a part on is not `among` those asked for, or not alive.
    """
    first, others, home_answer, visitors, *of_hosts = answers
    home = name_from(home_answer.kvs[0].value) if home_answer.kvs else ""
    what = f"status of cluster {record.cluster_name}"
    words = dict.fromkeys([home], _status(first.kvs[0].value, what)) if first.kvs else {}
    words |= {host_in(kv.key): _status(kv.value, what) for kv in others.kvs}
    visiting = visitors_in(record.cluster_name, visitors.kvs)
    if among is not None:
        there = {keys.name_in(kv.key, keys.ALIVE) for answer in of_hosts for kv in answer.kvs} | {own, ""}
        is_all = there >= nodes_by_host(record, home).keys() | words.keys()
        return HostWords(words, {}, home, frozenset(), visiting) if is_all else None
    alive, lost_since, claims = of_hosts
    there = {keys.name_in(kv.key, keys.ALIVE) for kv in alive.kvs} | {own, ""}
    since = {keys.name_in(kv.key, keys.LOST): moment_or_none(kv.value) for kv in lost_since.kvs}
    known = there | {keys.name_in(kv.key, keys.CLAIMS) for kv in claims.kvs}
    heard = {host: of for host, of in words.items() if host in known}
    gone = (nodes_by_host(record, home).keys() | heard.keys()) - there
    return HostWords(heard, {host: since.get(host) for host in gone}, home, frozenset(gone - known), visiting)


def visitors_in(cluster: str, kvs: Iterable[Any]) -> dict[str, IPv4Address]:
    """The hosts that visit a cluster's network, from their keys."""
    addresses = ((name_from(kv.value), address_of_visitor(cluster, kv)) for kv in kvs)
    return {host: address for host, address in addresses if address is not None}


def address_of_visitor(cluster: str, kv: Any) -> IPv4Address | None:
    """The address that a visitor's key is about; None for a key of somebody else's."""
    try:
        return IPv4Address(name_from(kv.key.removeprefix(keys.visitors(cluster))))
    except ValueError:
        return None


def entry_of(record: ClusterRecord, request: Any, hosts: HostWords) -> ClusterEntry:
    status = merged_status(record, hosts.words, hosts.lost, hosts.home, hosts.forgotten)
    return ClusterEntry(record, status, number_of(request), hosts)


def write_of(status: RecordStatus) -> Any:
    """The write of a host's word."""
    name, host = status.cluster_name, status.host
    key = keys.statuses(name) + host.encode() if host else keys.status(name)
    return put(key, keys.packed(status.model_dump_json()))


def withdrawal_of(cluster: str, host: str) -> Any:
    """The deletion of a host's word."""
    return delete(keys.statuses(cluster) + host.encode())


def removals_of_words(cluster: str) -> list[Any]:
    """The deletion of what all hosts said."""
    return [delete(keys.status(cluster)), delete_below(keys.statuses(cluster))]


def removals_of(cluster: str) -> list[Any]:
    """The deletion of all that is here of a cluster."""
    return [
        *removals_of_words(cluster),
        delete(keys.part(cluster)),
        *map(delete_below, (keys.meetings(cluster), keys.visitors(cluster))),
    ]


def placement_write_of(cluster: str, document: Mapping[str, Any]) -> Any:
    """Which hosts are to have parts of a cluster, from its record's document."""
    hosts = {node.get("host", "") for node in document["spec"]["nodes"].values()}
    return put(keys.part(cluster), json.dumps(sorted(hosts)).encode())


def placement_writes_of(cluster: str, record: str) -> list[Any]:
    """The same for the text of a record, which may be damaged."""
    try:
        return [placement_write_of(cluster, json.loads(record))]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def host_in(key: bytes) -> str:
    """The host whose word a key has."""
    return key.removeprefix(keys.STATUSES).partition(b"/")[2].decode(errors="backslashreplace")


def _status(value: bytes, what: str) -> RecordStatus:
    return parsed(RecordStatus, document_in(text_of(value, keys.unpacked, what), what), what)
