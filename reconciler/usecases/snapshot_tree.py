"""Which snapshot is based on which, and where each node is now, derived from the chains of layers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Domain, Layer
from reconciler.model.names import ROOT_DISK
from reconciler.model.record import ClusterRecord
from reconciler.model.snapshot import Manifest
from reconciler.model.timestamps import Moment


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


Owners = Mapping[Path, str]
"""The snapshot that each frozen root layer belongs to, oldest first."""


def snapshot_tree(
    record: ClusterRecord, observed: ClusterDocument, manifests: Sequence[Manifest], lost: Sequence[str] = ()
) -> SnapshotTree:
    """The tree of the snapshots in `manifests`, which come oldest first.

    A recreated node is based on no snapshot although the others are: the newest parent among the nodes is then the
    snapshot's parent.
    """
    owners = {path: of.snapshot_name for of in manifests for path in _root_layers(of)}
    return SnapshotTree(
        cluster_name=record.cluster_name,
        snapshots=tuple(_place(of, owners, observed) for of in manifests),
        standing_on={node: _stands_on(node, record, owners, observed) for node in record.spec.nodes},
        lost_snapshots=tuple(lost),
    )


def _place(manifest: Manifest, owners: Owners, observed: ClusterDocument) -> SnapshotPlace:
    parents = {_next_below(path, owners, observed) for path in _root_layers(manifest)}
    newest_first = reversed(list(owners.values()))
    return SnapshotPlace(
        snapshot_name=manifest.snapshot_name,
        parent=next((name for name in newest_first if name in parents), None),
        created_at=manifest.created_at,
        include_memory=manifest.include_memory,
    )


def _stands_on(node: str, record: ClusterRecord, owners: Owners, observed: ClusterDocument) -> str | None:
    """From the node's chain; if that was flattened, or the node has no domain, from its last revert."""
    domain = observed.domains.get(node)
    disk = domain.disks.get(ROOT_DISK) if isinstance(domain, Domain) else None
    found = _next_below(disk.path, owners, observed) if disk is not None else None
    based_on = record.nodes[node].based_on
    return found or (based_on if based_on in owners.values() else None)


def _root_layers(manifest: Manifest) -> list[Path]:
    return [part.disks[ROOT_DISK].path for part in manifest.nodes.values() if ROOT_DISK in part.disks]


def _next_below(path: Path, owners: Owners, observed: ClusterDocument) -> str | None:
    return next((owners[file] for file in _files_below(path, observed) if file in owners), None)


def _files_below(path: Path, observed: ClusterDocument) -> Iterator[Path]:
    """The chain below a layer, downwards; it ends below vmcluster's last layer, even if files refer to each other in a
    loop.
    """
    seen: set[Path] = set()
    layer = observed.layers.get(str(path))
    while isinstance(layer, Layer) and layer.backing is not None and layer.backing not in seen:
        seen.add(layer.backing)
        yield layer.backing
        layer = observed.layers.get(str(layer.backing))
