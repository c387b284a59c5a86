"""The history of records in etcd: what made each of the last generations, and the tokens of all.

The patch of the oldest that is kept gives the whole record of its time, so that all that follow apply to it. Tokens
stay: things on hosts are marked with them for as long as they exist.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from aetcd import rpc

from reconciler.errors import StoreUnavailable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.client import EtcdClient
from reconciler.store.etcd.etcd_requests import OPERATIONS_LIMIT, below, delete, one, put, unchanged
from reconciler.store.etcd.record_change import document_of_value
from reconciler.store.patch import patched
from reconciler.store.protocol import HistoryEntry
from reconciler.store.record_json import parsed

log = structlog.get_logger(__name__)

KEPT_CHANGES = 1000
_AT_ONCE = OPERATIONS_LIMIT - 2
"""So many are let go at once, and are kept above that number until then."""


class EtcdHistory:
    """Reads the histories of clusters, and keeps them short."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd

    async def entries(self, cluster: str) -> list[HistoryEntry]:
        """The changes that are kept, oldest first."""
        (found,) = await self._etcd.read(below(keys.histories(cluster)))
        return [
            parsed(
                HistoryEntry,
                {
                    "cluster_name": cluster,
                    "generation": keys.generation_in(kv.key),
                    **{part: entry.get(part) for part in ("actor", "at", "patch")},
                },
                _named(cluster),
            )
            for kv in found.kvs
            for entry in [document_of_value(kv.value, _named(cluster))]
        ]

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

    async def let_go(self, cluster: str, newest: int) -> None:
        """Let go of the oldest changes, from time to time; the change that was just made does not fail by that."""
        if newest <= KEPT_CHANGES or newest % _AT_ONCE:
            return
        try:
            while await self._let_go_of_some(cluster):
                pass
        except (StoreUnavailable, ValueError) as error:
            log.warning("history_not_shortened", cluster=cluster, cause=str(error))

    async def _let_go_of_some(self, cluster: str) -> bool:
        """False if there are no more than are kept, or another client does the same."""
        oldest = below(keys.histories(cluster), limit=_AT_ONCE + 1)
        (found,) = await self._etcd.read(oldest)
        surplus = found.count - KEPT_CHANGES
        if surplus <= 0:
            return False
        *gone, first = found.kvs[: surplus + 1]
        entries = [document_of_value(kv.value, _named(cluster)) for kv in (*gone, first)]
        document = None
        for entry in entries:
            document = patched(document, entry["patch"])
        whole = {**entries[-1], "patch": [{"op": "replace", "path": "", "value": document}]}
        tokens = {keys.generation_in(kv.key): entry["token"] for kv, entry in zip(gone, entries, strict=False)}
        writes = [
            *(delete(kv.key) for kv in gone),
            put(first.key, keys.packed_json(whole)),
            put(keys.tokens_up_to(cluster, max(tokens)), keys.packed_json(tokens)),
        ]
        is_same = [unchanged(kv.key, kv.mod_revision) for kv in (gone[0], first)]
        return bool((await self._etcd.change(is_same, writes)).succeeded)


async def tokens_of_old_changes(etcd: EtcdClient, cluster: str) -> dict[int, str]:
    """The tokens of generations whose history was let go."""
    (found,) = await etcd.read(below(keys.old_tokens(cluster)))
    return _tokens_in(found, cluster)


def token_writes(cluster: str, tokens: dict[int, str]) -> list[Any]:
    """The writes that keep these tokens, without their history."""
    return [
        put(keys.tokens_up_to(cluster, some[-1]), keys.packed_json({of: tokens[of] for of in some}))
        for some in _batches(sorted(tokens))
    ]


def _block_with(cluster: str, generation: int) -> Any:
    """The range of the block that has a generation's token, if it was let go."""
    return rpc.RangeRequest(
        key=keys.tokens_up_to(cluster, generation), range_end=keys.end_of(keys.old_tokens(cluster)), limit=1
    )


def _tokens_in(blocks: Any, cluster: str) -> dict[int, str]:
    documents = (document_of_value(kv.value, _named(cluster)) for kv in blocks.kvs)
    return {int(generation): str(token) for block in documents for generation, token in block.items()}


def _batches(generations: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(generations), OPERATIONS_LIMIT):
        yield generations[begin : begin + OPERATIONS_LIMIT]


def _named(cluster: str) -> str:
    return f"history of cluster {cluster}"
