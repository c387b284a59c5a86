"""Records as the use cases read and change them."""

import re
from collections.abc import Awaitable, Callable, Iterable, Set

import structlog

from reconciler.desired.addresses import guest_address
from reconciler.errors import ClusterNotFound, Conflict, NodeNotFound, RecordUnreadable
from reconciler.guest.address import GuestAddress
from reconciler.model.names import CLUSTER_NAME_MAX_LENGTH, LABEL_PATTERN
from reconciler.model.record import ClusterRecord
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

_TRIES = 20
"""Attempts at a change that other writers keep coming before; each is one read and one write."""


def require_cluster_name(cluster: str) -> None:
    """Raise `ClusterNotFound` for what cannot be a cluster's name, before anything is asked about it."""
    if len(cluster) > CLUSTER_NAME_MAX_LENGTH or not re.fullmatch(LABEL_PATTERN, cluster):
        raise ClusterNotFound(
            f"no cluster can be named {cluster!r}",
            hint=f"a name has lower-case letters, digits and dashes, at most {CLUSTER_NAME_MAX_LENGTH} of them",
        )


async def recorded(store: Store, cluster: str) -> ClusterRecord:
    """The record of a cluster, of a destroyed one too while its disks are kept."""
    require_cluster_name(cluster)
    record = await store.get(cluster)
    if record is None:
        known = ", ".join(await store.names())
        lost = f"none; if its record was lost, `vmcluster adopt {cluster}` makes it again from what is on the host"
        raise ClusterNotFound(f"no cluster named {cluster!r} is defined", hint=f"defined clusters: {known or lost}")
    return record


async def readable_records(store: Store) -> list[ClusterRecord]:
    """The records of all clusters, destroyed ones with kept disks too, but for those that cannot be read."""
    records = []
    for name in await store.names():
        try:
            records.append(await store.get(name))
        except RecordUnreadable as error:
            log.warning("record_unreadable", cluster=name, cause=str(error))
    return [record for record in records if record is not None]


async def existing(store: Store, cluster: str) -> ClusterRecord:
    """The record of a cluster that is there; a destroyed one is not, even where its disks are kept."""
    record = await recorded(store, cluster)
    if record.deletion is not None:
        raise ClusterNotFound(
            f"cluster {cluster!r} was destroyed",
            hint="`cluster_define` makes it again, on its kept disks where there are any",
        )
    return record


def nothing_agreed(_before: ClusterRecord) -> Set[str]:
    """Most changes lose nothing."""
    return frozenset()


async def change(
    store: Store,
    cluster: str,
    edit: Callable[[ClusterRecord], ClusterRecord],
    *,
    actor: str,
    consent: Callable[[ClusterRecord], Set[str]] = nothing_agreed,
    read: Callable[[Store, str], Awaitable[ClusterRecord]] = existing,
) -> ClusterRecord:
    """Apply `edit` to the newest record; when another writer comes first, to the one that it left.

    `consent` says, of the record before, what the change may lose.
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
    """The nodes that are meant: all of them for None, an empty list or "all". Raises `NodeNotFound`."""
    wanted = [nodes] if isinstance(nodes, str) else list(nodes or ())
    if not wanted or wanted == ["all"]:
        return list(record.spec.nodes)
    return list(dict.fromkeys(select_node(record, node) for node in wanted))


def select_node(record: ClusterRecord, node: str, *, all_with: str = "") -> str:
    """The one node that is meant, "all" being none. Raises `NodeNotFound`.

    `all_with` says what does the same to all nodes.
    """
    if node not in record.spec.nodes:
        remedy = f"; {all_with}" if all_with and node == "all" else ""
        raise NodeNotFound(
            f"cluster {record.cluster_name!r} has no node {node!r}",
            node=node,
            hint=f"it has {', '.join(record.spec.nodes)}{remedy}",
        )
    return node


def addresses(record: ClusterRecord, nodes: Iterable[str]) -> list[GuestAddress]:
    """Where the given nodes are."""
    return [guest_address(record, node) for node in nodes]
