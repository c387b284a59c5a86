"""Which layer each disk of a node writes to, and which files stand below it. Pure.

A layer's name carries the revision of its disk (how often the disk was started over) and its depth (how often it was
frozen since then). The revision is desired; the depth is observed: every snapshot, finished or not, adds one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from reconciler.model import names
from reconciler.model.document import (
    BackingFile,
    ClusterDocument,
    Domain,
    Layer,
    LentFiles,
    Snapshot,
    Unknown,
    files_below,
)
from reconciler.model.record import ClusterRecord, ExtraDiskSpec
from reconciler.model.snapshot import FrozenDisk

MOST_SPARE_LAYERS = 8
"""How many layers that no snapshot needs may stand right below the one that a disk writes to.

Each deleted snapshot can leave one. Once there are more, all of them are copied into the disk's own layer at once:
often enough to keep chains short, rarely enough not to copy the guest's data again and again.
"""


@dataclass(frozen=True, slots=True)
class ActiveDisk:
    """The file that a disk writes to; `layer` is None if the file is the user's.

    `backing` is what the file stands on now. The desired `layer` may stand on less.
    """

    path: Path
    format: str
    backing: tuple[BackingFile, ...]
    layer: Layer | None


@dataclass(frozen=True, slots=True)
class FoundLayers:
    """The observed layers and snapshots, looked up once for all nodes.

    `depths` is the greatest observed depth of each node, disk and revision; `frozen` are the files that belong to
    snapshots, which nothing writes to, though only a fork may know them by now; `frozen_is_all` says that all could be
    read. `lent` says what files of other clusters stand on.
    """

    observed: ClusterDocument
    depths: Mapping[tuple[str, str, int], int]
    layered: frozenset[tuple[str, str]]
    frozen: frozenset[Path]
    frozen_is_all: bool
    lent: Mapping[Path, tuple[BackingFile, ...]]


class SharedInSnapshot(Exception):
    """A file that several nodes would write to is part of a snapshot, which would change."""


class SnapshotMissing(Exception):
    """A disk stands on a snapshot that does not exist, and its own layer has not been created."""


def found_in(observed: ClusterDocument) -> FoundLayers:
    """How deep each disk's layers go, read from their names, and which of them are frozen."""
    depths: dict[tuple[str, str, int], int] = {}
    for path, layer in observed.layers.items():
        parsed = names.parse_layer_name(path.rpartition("/")[2])
        if parsed is not None and isinstance(layer, Layer):
            node, disk, revision, depth = parsed
            depths[node, disk, revision] = max(depths.get((node, disk, revision), 0), depth)
    layered = frozenset((node, disk) for node, disk, _ in depths)
    frozen, is_all = frozenset(_frozen_files(observed)), not _some_unknown(observed)
    return FoundLayers(observed, depths, layered, frozen, is_all, _lent_files(observed))


def active_disks(record: ClusterRecord, node: str, found: FoundLayers) -> dict[str, ActiveDisk]:
    """Every disk of a node except its seed, by target. Raises `SnapshotMissing` and `SharedInSnapshot`."""
    spec, intent = record.spec.nodes[node], record.nodes[node]
    image = FrozenDisk(path=spec.base_image.path, format=spec.base_image.format)
    base = _frozen(intent.based_on, node, names.ROOT_DISK, found.observed) if intent.based_on else image
    place = _Place(record, node, names.ROOT_DISK, intent.disk_revision, found)
    disks = {names.ROOT_DISK: _on_layers(place, base, spec.root_disk_bytes)}
    for target, disk in spec.extra_disks.items():
        place = _Place(record, node, target, intent.extra_revision, found)
        disks[target] = _extra(place, disk, intent.extra_based_on)
    return disks


def needed_layers(actives: Iterable[ActiveDisk], observed: ClusterDocument) -> dict[str, Layer]:
    """The existing layers that must stay: everything below an active disk or a snapshot, and what forks stand on.

    While a snapshot cannot be read, or what a fork stands on, any layer may be part of it.
    """
    if _some_unknown(observed):
        return {path: layer for path, layer in observed.layers.items() if isinstance(layer, Layer)}
    below = (active.layer.backing for active in actives if active.layer is not None)
    lent = (path for of in _known_forks(observed) for path in of.below)
    roots = [*_frozen_files(observed), *lent, *(path for path in below if path is not None)]
    whole = {"base_changed": False, "misplaced": ""}  # an existing layer is desired as it was created
    return {path: layer.model_copy(update=whole) for root in roots for path, layer in _downward(root, observed)}


@dataclass(frozen=True, slots=True)
class _Place:
    """One disk of one node, and its desired revision."""

    record: ClusterRecord
    node: str
    target: str
    revision: int
    found: FoundLayers

    @property
    def observed(self) -> ClusterDocument:
        return self.found.observed

    def below(self, layer: Layer) -> tuple[BackingFile, ...]:
        """Everything that a layer stands on, files of other clusters too."""
        own = files_below(layer, self.observed.layers)
        return (*own, *self.found.lent.get(own[-1].path, ())) if own else own

    def layer_path(self, depth: int) -> Path:
        overlay_dir, cluster = self.record.spec.overlay_dir, self.record.cluster_name
        return names.layer_path(overlay_dir, cluster, self.node, self.target, self.revision, depth)

    def depth_in_use(self) -> int | None:
        """The depth that the domain writes to, or, without a domain, the greatest one observed; None without any."""
        domain = self.observed.domains.get(self.node)
        disk = domain.disks.get(self.target) if isinstance(domain, Domain) else None
        if disk is not None and (depth := self._depth(disk.path)) is not None:
            return depth
        return self.found.depths.get((self.node, self.target, self.revision))

    def writable(self, depth: int) -> int:
        """`depth`, or the first above it that is not part of a snapshot."""
        while self.layer_path(depth) in self.found.frozen:
            depth += 1
        return depth

    def is_spare(self, file: BackingFile) -> bool:
        """Whether the file is a layer between the disk's own file and everything that a snapshot needs."""
        if not self.found.frozen_is_all or file.path in self.found.frozen:
            return False
        is_ours = isinstance(self.observed.layers.get(str(file.path)), Layer)
        return is_ours and names.parse_layer_name(file.path.name) is not None

    def _depth(self, path: Path) -> int | None:
        parsed = names.parse_layer_name(path.name)
        if parsed is None or path != self.layer_path(parsed[3]):
            return None
        return parsed[3]


def _extra(place: _Place, disk: ExtraDiskSpec, based_on: str | None) -> ActiveDisk:
    """An extra disk starts as the file at its own path; our layers come above it with the first snapshot."""
    if disk.shared:
        return _shared(place, disk)
    base = _frozen(based_on, place.node, place.target, place.observed) if based_on is not None else None
    if base is None and not _came_after(place, disk, based_on):
        return _on_layers(place, None, disk.size_bytes)
    if base is not None or place.depth_in_use() is not None or disk.path in place.found.frozen:
        return _on_layers(place, base or FrozenDisk(path=disk.path, format=disk.format), disk.size_bytes)
    own = None if disk.existing else Layer(node=place.node, disk=place.target, size_bytes=disk.size_bytes)
    return ActiveDisk(path=disk.path, format=disk.format, backing=(), layer=own)


def _shared(place: _Place, disk: ExtraDiskSpec) -> ActiveDisk:
    """A shared disk has no layer above its file: the other nodes would not see what is written to it."""
    if disk.path in place.found.frozen:
        raise SharedInSnapshot(disk.path)
    own = None if disk.existing else _shared_layer(place.record, disk)
    return ActiveDisk(path=disk.path, format=disk.format, backing=(), layer=own)


def _shared_layer(record: ClusterRecord, disk: ExtraDiskSpec) -> Layer:
    """The same layer for every node that names the disk."""
    node, target = next(
        (node, target)
        for node, spec in record.spec.nodes.items()
        for target, other in spec.extra_disks.items()
        if other.path == disk.path
    )
    return Layer(node=node, disk=target, size_bytes=disk.size_bytes, format=disk.format)


def _came_after(place: _Place, disk: ExtraDiskSpec, based_on: str | None) -> bool:
    """Whether a disk missing from its node's snapshot was added later, rather than lost with the snapshot."""
    if based_on is None or isinstance(place.observed.snapshots.get(based_on), Snapshot):
        return True
    if (place.node, place.target) not in place.found.layered:
        return True
    domain = place.observed.domains.get(place.node)
    if not isinstance(domain, Domain):
        return False
    root = names.parse_layer_name(domain.disks[names.ROOT_DISK].path.name)
    reverted = root is not None and root[2] == place.record.nodes[place.node].disk_revision
    return reverted and (place.target not in domain.disks or domain.disks[place.target].path == disk.path)


def _on_layers(place: _Place, base: FrozenDisk | None, size_bytes: int) -> ActiveDisk:
    in_use = place.depth_in_use() or 0
    depth = place.writable(in_use)
    path = place.layer_path(depth)
    there = place.observed.layers.get(str(path))
    if isinstance(there, Layer) and (depth > 0 or _stands_on_layers(place, there, base)):
        backing = place.below(there)
        wanted = _of_size(place, there, base, size_bytes)
        return ActiveDisk(path, "qcow2", backing, _flattened(place, wanted, backing))  # its name identifies it
    if depth > in_use:
        base = FrozenDisk(path=place.layer_path(depth - 1), format="qcow2")
    if base is None:
        raise SnapshotMissing(place.node)
    below = place.observed.layers.get(str(base.path))
    layer = Layer(
        node=place.node,
        disk=place.target,
        size_bytes=max(size_bytes, below.size_bytes) if isinstance(below, Layer) else size_bytes,
        backing=base.path,
        backing_format=base.format,
    )
    return ActiveDisk(path, "qcow2", place.below(layer), layer)


def _of_size(place: _Place, there: Layer, base: FrozenDisk | None, size_bytes: int) -> Layer:
    """At least the desired size; a layer that started in a snapshot may be as large as the disk was then."""
    began_here = base is not None and there.backing == base.path and str(base.path) not in place.observed.layers
    if place.target == names.ROOT_DISK and began_here:
        return there.model_copy(update={"size_bytes": size_bytes})
    return there.model_copy(update={"size_bytes": max(there.size_bytes, size_bytes)})


def _flattened(place: _Place, there: Layer, backing: tuple[BackingFile, ...]) -> Layer:
    """The desired layer: without layers below that nothing else needs, if there are too many of them."""
    wanted = there
    if there.flattening or there.base_changed or there.misplaced:
        wanted = there.model_copy(update={"flattening": False, "base_changed": False, "misplaced": ""})
    spare = sum(1 for _ in takewhile(place.is_spare, backing))
    if spare <= MOST_SPARE_LAYERS or spare == len(backing):
        return wanted
    base = backing[spare]
    return wanted.model_copy(update={"backing": base.path, "backing_format": base.format})


def _stands_on_layers(place: _Place, there: Layer, base: FrozenDisk | None) -> bool:
    """Whether a disk started in a snapshot, even if that is gone, or the layer has absorbed what was below it."""
    return base is None or base.path in place.found.frozen or str(there.backing) in place.observed.layers


def _frozen(snapshot: str, node: str, target: str, observed: ClusterDocument) -> FrozenDisk | None:
    found = observed.snapshots.get(snapshot)
    part = found.nodes.get(node) if isinstance(found, Snapshot) else None
    return part.disks.get(target) if part is not None else None


def _some_unknown(observed: ClusterDocument) -> bool:
    return any(isinstance(of, Unknown) for of in (*observed.snapshots.values(), *observed.forks.values()))


def _frozen_files(observed: ClusterDocument) -> Iterator[Path]:
    for snapshot in observed.snapshots.values():
        if isinstance(snapshot, Snapshot):
            yield from (disk.path for node in snapshot.nodes.values() for disk in node.disks.values())
    for of in _known_forks(observed):
        yield from of.disks


def _known_forks(observed: ClusterDocument) -> Iterator[LentFiles]:
    return (of for of in observed.forks.values() if isinstance(of, LentFiles))


def _lent_files(observed: ClusterDocument) -> dict[Path, tuple[BackingFile, ...]]:
    lent = (of.below for of in observed.snapshots.values() if isinstance(of, Snapshot))
    return {path: below for of_snapshot in lent for path, below in of_snapshot.items()}


def _downward(path: Path, observed: ClusterDocument) -> Iterator[tuple[str, Layer]]:
    seen: set[Path] = set()
    layer = observed.layers.get(str(path))
    while isinstance(layer, Layer) and path not in seen:
        seen.add(path)
        yield str(path), layer
        if layer.backing is None:
            return
        path = layer.backing
        layer = observed.layers.get(str(path))
