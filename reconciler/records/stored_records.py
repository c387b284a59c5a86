"""Reads and changes records for the use cases."""

import re
from collections.abc import Awaitable, Callable, Iterable, Set

import structlog

from reconciler.errors import ClusterNotFound, Conflict, NodeNotFound, RecordUnreadable, meant
from reconciler.model.names import CLUSTER_NAME_MAX_LENGTH, LABEL_PATTERN
from reconciler.model.record import ClusterRecord
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

_TRIES = 20
"""Attempts at a change when other writers keep being faster; each is one read and one write."""


def require_cluster_name(cluster: str) -> None:
    """Raise `ClusterNotFound` for an invalid cluster name, before it is looked up."""
    if len(cluster) > CLUSTER_NAME_MAX_LENGTH or not re.fullmatch(LABEL_PATTERN, cluster):
        raise ClusterNotFound(
            f"{cluster!r} is not a valid cluster name",
            hint=f"a name has lower-case letters, digits and dashes, at most {CLUSTER_NAME_MAX_LENGTH} of them",
        )


async def recorded(store: Store, cluster: str) -> ClusterRecord:
    """The record of a cluster, even if it was destroyed while its disks are kept."""
    require_cluster_name(cluster)
    record = await store.get(cluster)
    if record is None:
        known = await store.names()
        lost = f'none; if its record was lost, `cluster_adopt(cluster_name="{cluster}")` rebuilds it from the host'
        raise ClusterNotFound(
            f"no cluster named {cluster!r} is defined",
            hint=meant(cluster, known, f"defined clusters: {', '.join(known) or lost}"),
            cluster_name=cluster,
        )
    return record


async def readable_records(store: Store) -> list[ClusterRecord]:
    """The readable records of all clusters, including destroyed ones with kept disks."""
    records = []
    for name in await store.names():
        try:
            records.append(await store.get(name))
        except RecordUnreadable as error:
            log.warning("record_unreadable", cluster=name, cause=str(error))
    return [record for record in records if record is not None]


async def existing(store: Store, cluster: str) -> ClusterRecord:
    """The record of a cluster that is not destroyed."""
    record = await recorded(store, cluster)
    if record.deletion is not None:
        raise ClusterNotFound(
            f"cluster {cluster!r} was destroyed",
            hint="recreate it with `cluster_define`, on its kept disks if there are any",
        )
    return record


def nothing_agreed(_before: ClusterRecord) -> Set[str]:
    """The consent of most changes: nothing may be lost."""
    return frozenset()


async def change_record(
    store: Store,
    cluster: str,
    edit: Callable[[ClusterRecord], ClusterRecord],
    *,
    actor: str,
    consent: Callable[[ClusterRecord], Set[str]] = nothing_agreed,
    read: Callable[[Store, str], Awaitable[ClusterRecord]] = existing,
) -> ClusterRecord:
    """Apply `edit` to the newest record; if another writer is faster, to the record that it wrote.

    `consent` says, given the record before, what the change may lose.
    """
    for _ in range(_TRIES):
        before = await read(store, cluster)
        try:
            return await store.put(
                edit(before), expected_generation=before.generation, actor=actor, consent=consent(before)
            )
        except Conflict:
            continue
    raise Conflict("other clients kept changing the cluster", hint="try again")


def select_nodes(record: ClusterRecord, nodes: str | Iterable[str] | None) -> list[str]:
    """The requested nodes: all of them for None, an empty list or "all"; `a,b` names two. Raises `NodeNotFound`."""
    words = [nodes] if isinstance(nodes, str) else nodes or ()
    wanted = [name for word in words for name in word.split(",")]
    if not wanted or wanted == ["all"]:
        return list(record.spec.nodes)
    return list(dict.fromkeys(select_node(record, node) for node in wanted))


def select_node(record: ClusterRecord, node: str, *, all_with: str = "") -> str:
    """The requested node; "all" is not one.

    Raises `NodeNotFound`. `all_with` names the call that does the same to all nodes.
    """
    if node not in record.spec.nodes:
        remedy = f"; {all_with}" if all_with and node == "all" else ""
        raise NodeNotFound(
            f"cluster {record.cluster_name!r} has no node {node!r}",
            node=node,
            hint=meant(node, record.spec.nodes, f"it has {', '.join(record.spec.nodes)}{remedy}"),
        )
    return node
