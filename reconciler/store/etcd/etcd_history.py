"""The history of records in etcd: what made each of the last generations, and the tokens of all.

The patch of the oldest that is kept gives the whole record of its time, so that all that follow apply to it. Tokens
stay, also those of clusters that are gone: things on hosts are marked with them for as long as they exist.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import structlog
from aetcd import rpc

from reconciler.errors import StoreUnavailable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import OPERATIONS_LIMIT, below, delete, delete_below, one, put, unchanged
from reconciler.store.etcd.record_change import document_of_value
from reconciler.store.etcd.small_values import generation_in, number_in
from reconciler.store.history_rows import entries_in
from reconciler.store.patch import patched
from reconciler.store.protocol import KEPT_GONE, HistoryEntry

log = structlog.get_logger(__name__)

KEPT_CHANGES = 1000
_AT_ONCE = OPERATIONS_LIMIT - 2
"""So many are dropped at once, and are kept above that number until then."""
_GONE_AT_ONCE = 20
"""Of so many gone clusters the histories are dropped at the end of another one: more than one, to catch up."""


class EtcdHistory:
    """Reads the histories of clusters, and keeps them short."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd

    async def entries(self, cluster: str) -> list[HistoryEntry]:
        """The changes that are kept, oldest first."""
        (found,) = await self._etcd.read(below(keys.histories(cluster)))
        what = _named(cluster)
        rows = ((generation_in(kv.key, what), partial(document_of_value, kv.value, what)) for kv in found.kvs)
        return list(entries_in(cluster, rows))

    async def tokens(self, cluster: str, generations: Sequence[int]) -> dict[int, str]:
        """The tokens of those generations that there were."""
        tokens = {}
        for some in _batches(generations):
            found = await self._etcd.read(*(one(keys.history(cluster, generation)) for generation in some))
            for generation, answer in zip(some, found, strict=True):
                if answer.kvs:
                    tokens[generation] = str(document_of_value(answer.kvs[0].value, _named(cluster)).get("token"))
        for some in _batches([of for of in generations if of not in tokens]):
            found = await self._etcd.read(*(_block_with(cluster, generation) for generation in some))
            for block in found:
                tokens |= {of: token for of, token in _tokens_in(block, cluster).items() if of in some}
        return tokens

    async def drop_old(self, cluster: str, newest: int) -> None:
        """Drop the oldest changes, from time to time; the change that was just made does not fail by that."""
        if newest <= KEPT_CHANGES or newest % _AT_ONCE:
            return
        try:
            while await self._drop_some(cluster, KEPT_CHANGES, ()):
                pass
        except (StoreUnavailable, ValueError) as error:
            log.warning("history_not_shortened", cluster=cluster, cause=str(error))

    async def drop_of_gone(self) -> None:
        """Drop history and events of those gone clusters that ended before the last `KEPT_GONE`."""
        try:
            heads, newest = await self._etcd.read(below(keys.HEADS, keys_only=True), below(keys.NEWEST, keys_only=True))
            there = {keys.name_in(kv.key, keys.HEADS) for kv in heads.kvs}
            gone = [kv for kv in newest.kvs if keys.name_in(kv.key, keys.NEWEST) not in there]
            gone.sort(key=lambda kv: -int(kv.mod_revision))
            for kv in gone[KEPT_GONE : KEPT_GONE + _GONE_AT_ONCE]:
                cluster, is_still_gone = keys.name_in(kv.key, keys.NEWEST), unchanged(kv.key, kv.mod_revision)
                while await self._drop_some(cluster, 0, [is_still_gone]):
                    pass
                await self._etcd.change([is_still_gone], [delete_below(keys.events(cluster))])
        except (StoreUnavailable, ValueError) as error:
            log.warning("history_of_gone_clusters_not_dropped", cause=str(error))

    async def _drop_some(self, cluster: str, kept: int, conditions: Sequence[Any]) -> bool:
        """False if there are no more than are kept, or another client does the same."""
        (found,) = await self._etcd.read(below(keys.histories(cluster), limit=_AT_ONCE + 1))
        if found.count <= kept:
            return False
        count = min(found.count - kept, _AT_ONCE)
        dropped, first = found.kvs[:count], found.kvs[count : count + 1]
        entries = [document_of_value(kv.value, _named(cluster)) for kv in (*dropped, *first)]
        what = _named(cluster)
        tokens = {generation_in(kv.key, what): entry["token"] for kv, entry in zip(dropped, entries, strict=False)}
        writes = [
            *(delete(kv.key) for kv in dropped),
            *(put(kv.key, keys.packed_json(_whole(entries))) for kv in first),
            put(keys.tokens_up_to(cluster, max(tokens)), keys.packed_json(tokens)),
        ]
        is_same = [unchanged(kv.key, kv.mod_revision) for kv in (dropped[0], *first)]
        return bool((await self._etcd.change([*conditions, *is_same], writes)).succeeded)


def _whole(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last of these changes, as one that makes the whole record of its time."""
    document = None
    for entry in entries:
        document = patched(document, entry["patch"])
    return {**entries[-1], "patch": [{"op": "replace", "path": "", "value": document}]}


async def tokens_of_old_changes(etcd: EtcdClient, cluster: str) -> dict[int, str]:
    """The tokens of generations whose history was dropped."""
    (found,) = await etcd.read(below(keys.old_tokens(cluster)))
    return _tokens_in(found, cluster)


def token_writes(cluster: str, tokens: dict[int, str]) -> list[Any]:
    """The writes that keep these tokens, without their history."""
    return [
        put(keys.tokens_up_to(cluster, some[-1]), keys.packed_json({of: tokens[of] for of in some}))
        for some in _batches(sorted(tokens))
    ]


def _block_with(cluster: str, generation: int) -> Any:
    """The range of the block that has a generation's token, if its history was dropped."""
    return rpc.RangeRequest(
        key=keys.tokens_up_to(cluster, generation), range_end=keys.end_of(keys.old_tokens(cluster)), limit=1
    )


def _tokens_in(blocks: Any, cluster: str) -> dict[int, str]:
    what = _named(cluster)
    documents = (document_of_value(kv.value, what) for kv in blocks.kvs)
    return {number_in(of.encode(), what): str(token) for block in documents for of, token in block.items()}


def _batches(generations: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(generations), OPERATIONS_LIMIT):
        yield generations[begin : begin + OPERATIONS_LIMIT]


def _named(cluster: str) -> str:
    return f"history of cluster {cluster}"
