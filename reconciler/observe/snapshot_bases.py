"""Which snapshot is based on which, and where each node is now, derived from the chains of layers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reconciler.model.document import ClusterDocument, Domain, Layer
from reconciler.model.names import ROOT_DISK
from reconciler.model.snapshot import Manifest, SnapshotBases

Owners = Mapping[Path, str]
"""The snapshot that each frozen root layer belongs to, oldest first."""


def snapshot_bases(observed: ClusterDocument, manifests: Sequence[Manifest]) -> SnapshotBases:
    """What the observed layers say of the snapshots in `manifests`, which come oldest first."""
    owners = {path: of.snapshot_name for of in manifests for path in _root_layers(of)}
    below = {of.snapshot_name: {_next_below(path, owners, observed) for path in _root_layers(of)} for of in manifests}
    disks = {node: of.disks.get(ROOT_DISK) for node, of in observed.domains.items() if isinstance(of, Domain)}
    found = {node: _next_below(disk.path, owners, observed) for node, disk in disks.items() if disk is not None}
    return SnapshotBases(
        parents={name: frozenset(of for of in parents if of is not None) for name, parents in below.items()},
        standing_on={node: name for node, name in found.items() if name is not None},
    )


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
