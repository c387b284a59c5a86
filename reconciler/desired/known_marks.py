"""Which marks on the host a record knows, and who made the others. Pure."""

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Mark, Snapshot, Unknown
from reconciler.model.names import ROOT_DISK, parse_layer_name
from reconciler.model.origin import Lineage, Origin
from reconciler.model.record import UNSIGNED, ClusterRecord

HEAD = "directory"
"""The kind of the mark on the cluster's directory, which holds the last generation that acted."""


def known_marks(record: ClusterRecord, lineage: Lineage, observed: ClusterDocument) -> dict[str, Mark | Unknown]:
    """The observed marks: unchanged if the record knows them, else `Unknown` with their origin."""
    return {key: _known(key, found, record, lineage, observed) for key, found in observed.marks.items()}


def marks_to_sign(record: ClusterRecord, observed: ClusterDocument, acting: Origin | None = None) -> list[str]:
    """The marks outside this store's history that nevertheless count as its own, the head first.

    With the `acting` generation, the head is included whenever another one acted last.
    """
    due = [
        key
        for key, found in observed.marks.items()
        if isinstance(found, Mark)
        and (
            found.origin is None
            or found.origin.key in record.adopted
            or (acting is not None and _is_head(key) and found.origin != acting)
        )
    ]
    return sorted(due, key=lambda key: not _is_head(key))


def _is_head(key: str) -> bool:
    return key.startswith(f"{HEAD}/")


def origins_in(observed: ClusterDocument) -> frozenset[Origin]:
    """Every observed origin."""
    return frozenset(of.origin for of in observed.marks.values() if isinstance(of, Mark) and of.origin is not None)


def _known(
    key: str, found: Mark | Unknown, record: ClusterRecord, lineage: Lineage, observed: ClusterDocument
) -> Mark | Unknown:
    if isinstance(found, Unknown):  # somebody else's directory
        return found if record.deletion is not None else found.model_copy(update={"unknown": _told(found, record)})
    why = _why_not_of_record(found.origin, record, lineage) or _why_beyond_record(key, found, record, observed)
    if why is None:
        return found
    return Unknown(unknown=f"{why}; nothing was touched: {_remedy(record)}", code=ErrorCode.CONFLICT, terminal=True)


def _told(found: Unknown, record: ClusterRecord) -> str:
    return f"{found.unknown}; it does not count as cluster {record.cluster_name!r}'s"


def _remedy(record: ClusterRecord) -> str:
    cluster = record.cluster_name
    return (
        f'use the store that made it, adopt it with `cluster_adopt(cluster_name="{cluster}")`, or choose another name'
    )


def _why_not_of_record(origin: Origin | None, record: ClusterRecord, lineage: Lineage) -> str | None:
    if origin is None:
        if record.generation > 0 or UNSIGNED in record.adopted:
            return None
        return "made by an earlier version for a cluster of this name, which has no record in this store"
    if origin in lineage.known or origin.key in record.adopted:
        return None
    if origin.store != lineage.store:
        is_lost = origin.state_dir == lineage.state_dir
        by_whom = "made by a store that no longer exists" if is_lost else "made by another store"
        return f"{by_whom} ({origin.state_dir}, identity {origin.store}) at generation {origin.generation}"
    return (
        f"made by generation {origin.generation} of a record that this store does not know, as {origin.state_dir} was "
        "copied or restored from a backup, and both copies continued"
    )


def _why_beyond_record(key: str, found: Mark, record: ClusterRecord, observed: ClusterDocument) -> str | None:
    """Why a thing belongs to a later record though its origin says nothing: earlier versions made it."""
    kind, _, name = key.partition("/")
    if not record.nodes:  # a record rebuilt from marks alone
        return None
    if kind == "snapshots":
        snapshot = observed.snapshots.get(name)
        late = isinstance(snapshot, Snapshot) and snapshot.request > record.snapshot_requests
        return f"made for a snapshot request that the record has not seen ({name})" if late else None
    if kind == "layers" and _is_beyond(name, found, record, observed):
        return "of a disk revision that the record has not seen"
    return None


def _is_beyond(path: str, found: Mark, record: ClusterRecord, observed: ClusterDocument) -> bool:
    if (parsed := parse_layer_name(path.rpartition("/")[2])) is None:
        return False
    node, disk, revision, _ = parsed
    if intent := record.nodes.get(node):
        return revision > (intent.disk_revision if disk == ROOT_DISK else intent.extra_revision)
    if node in record.first_revisions:
        return revision >= record.first_revisions[node]
    return found.origin is None and UNSIGNED not in record.adopted and not _in_a_snapshot(node, observed)


def _in_a_snapshot(node: str, observed: ClusterDocument) -> bool:
    return any(isinstance(of, Snapshot) and node in of.nodes for of in observed.snapshots.values())
