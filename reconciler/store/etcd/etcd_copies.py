"""Reading and writing all that etcd holds of a cluster."""

import json
from collections.abc import Sequence
from typing import Any

from reconciler.store.copies import StoredChange, StoredCluster, dropped_change
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_history import token_writes, tokens_of_old_changes
from reconciler.store.etcd.etcd_parts import placement_writes_of, removals_of
from reconciler.store.etcd.etcd_requests import below, delete, delete_below, one, put
from reconciler.store.etcd.event_log import EtcdEventLog
from reconciler.store.etcd.round_requests import number_of, request_of
from reconciler.store.etcd.small_values import generation_in, number_in
from reconciler.store.record_json import document_in, text_of

_AT_ONCE = 40
_AT_ONCE_BYTES = 512 * 1024


async def known_in(etcd: EtcdClient) -> list[str]:
    """Every cluster that has or had a record."""
    (found,) = await etcd.read(below(keys.NEWEST, keys_only=True))
    return sorted(keys.name_in(kv.key, keys.NEWEST) for kv in found.kvs)


async def exported(etcd: EtcdClient, events: EtcdEventLog, name: str) -> StoredCluster:
    names = (keys.head, keys.record, keys.status, keys.request)
    ranges = [*(one(of(name)) for of in names), below(keys.statuses(name)), below(keys.histories(name))]
    head, record, alone, request, words, history = await etcd.read(*ranges)
    what = f"history of cluster {name}"
    changes = [_change(kv, what) for kv in history.kvs]
    begun_at = changes[0].at if changes else ""
    dropped = [
        dropped_change(of, begun_at, token) for of, token in sorted((await tokens_of_old_changes(etcd, name)).items())
    ]
    return StoredCluster(
        name=name,
        generation=number_in(head.kvs[0].value, what) if head.kvs else 0,
        record=_text(record, f"record of cluster {name}") if head.kvs else None,
        status=_status(alone, words, f"status of cluster {name}"),
        request=number_of(request),
        changes=(*dropped, *changes),
        events=tuple([text for _, text in await events.texts(name)]),
    )


async def load(etcd: EtcdClient, events: EtcdEventLog, cluster: StoredCluster) -> None:
    """Write it in place of all that is there of a cluster of that name; its record comes last."""
    name = cluster.name
    gone = [delete(of(name)) for of in (keys.head, keys.record, keys.newest, keys.request)]
    gone += [*removals_of(name), *(delete_below(of(name)) for of in (keys.histories, keys.old_tokens, keys.events))]
    await etcd.change((), gone)
    known = [put(keys.history(name, of.generation), _entry(of)) for of in cluster.changes if not of.is_dropped]
    dropped = token_writes(name, {of.generation: of.token for of in cluster.changes if of.is_dropped})
    for some in _batches([*dropped, *known]):
        await etcd.change((), some)
    await events.add_texts(name, cluster.events)
    newest = max((of.generation for of in cluster.changes), default=cluster.generation)
    writes = [put(keys.newest(name), b"%d" % newest)]
    if cluster.request:
        writes.append(request_of(name, cluster.request))
    if cluster.record is not None:
        writes += [
            put(keys.head(name), b"%d" % cluster.generation),
            put(keys.record(name), keys.packed(cluster.record)),
            *placement_writes_of(name, cluster.record),
        ]
    if cluster.record is not None and cluster.status is not None:
        writes.append(put(keys.status(name), keys.packed(cluster.status)))
    await etcd.change((), writes)


def _entry(change: StoredChange) -> bytes:
    return keys.packed_json(
        {"actor": change.actor, "at": change.at, "patch": json.loads(change.patch), "token": change.token}
    )


def _change(kv: Any, what: str) -> StoredChange:
    entry = document_in(text_of(kv.value, keys.unpacked, what), what)
    return StoredChange(
        generation=generation_in(kv.key, what),
        actor=str(entry.get("actor")),
        at=str(entry.get("at")),
        patch=json.dumps(entry.get("patch")),
        token=str(entry.get("token")),
    )


def _text(found: Any, what: str) -> str | None:
    return text_of(found.kvs[0].value, keys.unpacked, what) if found.kvs else None


def _status(alone: Any, words: Any, what: str) -> str | None:
    """The word of a cluster's only host; several hosts say together what no single host could."""
    said = [text_of(kv.value, keys.unpacked, what) for kv in (*words.kvs, *alone.kvs)]
    return said[0] if len(said) == 1 or len(words.kvs) == 1 else None


def _batches(writes: Sequence[Any]) -> list[list[Any]]:
    """The writes in requests that etcd takes."""
    batches: list[list[Any]] = []
    size = 0
    for write in writes:
        size += write.ByteSize()
        if not batches or len(batches[-1]) >= _AT_ONCE or size > _AT_ONCE_BYTES:
            batches.append([])
            size = write.ByteSize()
        batches[-1].append(write)
    return batches
