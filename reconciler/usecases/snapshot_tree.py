"""The tree of a cluster's snapshots. Pure."""

from collections.abc import Sequence

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import Manifest, SnapshotBases
from reconciler.model.timestamps import Moment
from reconciler.observe.snapshot_bases import snapshot_bases


class SnapshotPlace(Frozen):
    """One snapshot in the tree; `parent` is the one its disks are based on, None if that is the base image."""

    snapshot_name: str = Field(description="Its name.")
    parent: str | None = Field(description="The snapshot that its disks are based on; null for the base image.")
    created_at: Moment = Field(description="When it was taken.")
    include_memory: bool = Field(description="Whether it includes the nodes' memory.")


class SnapshotTree(Abridgeable):
    """The snapshots of a cluster, oldest first, so that a parent comes before its children."""

    cluster_name: str = Field(description="Name of the cluster.")
    snapshots: tuple[SnapshotPlace, ...] = Field(description="Oldest first.")
    standing_on: dict[str, str | None] = Field(
        description="By node: the snapshot that it is based on now; null for none."
    )
    lost_snapshots: tuple[str, ...] = Field(
        default=(), description="Snapshots that were taken but whose files are gone."
    )


_NOTHING = SnapshotBases()


def snapshot_tree(
    record: ClusterRecord,
    observed: ClusterDocument,
    manifests: Sequence[Manifest],
    lost: Sequence[str] = (),
    said: SnapshotBases = _NOTHING,
) -> SnapshotTree:
    """The tree of the snapshots in `manifests`, which come oldest first; other hosts have `said` what they see.

    A recreated node is based on no snapshot although the others are: the newest parent among the nodes is then the
    snapshot's parent.
    """
    bases = said.joined(snapshot_bases(observed, manifests))
    names = [of.snapshot_name for of in manifests]
    return SnapshotTree(
        cluster_name=record.cluster_name,
        snapshots=tuple(_place(of, bases, names) for of in manifests),
        standing_on={node: _stands_on(node, record, bases, names) for node in record.spec.nodes},
        lost_snapshots=tuple(lost),
    )


def _place(manifest: Manifest, bases: SnapshotBases, names: Sequence[str]) -> SnapshotPlace:
    parents = bases.parents.get(manifest.snapshot_name, frozenset())
    return SnapshotPlace(
        snapshot_name=manifest.snapshot_name,
        parent=next((name for name in reversed(names) if name in parents), None),
        created_at=manifest.created_at,
        include_memory=manifest.include_memory,
    )


def _stands_on(node: str, record: ClusterRecord, bases: SnapshotBases, names: Sequence[str]) -> str | None:
    """From the node's chain; if that was flattened, or the node has no domain, from its last revert."""
    based_on = record.nodes[node].based_on
    return bases.standing_on.get(node) or (based_on if based_on in names else None)
