"""Snapshots as they are shown, with the sizes of their files."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.files.space import allocated_bytes
from reconciler.model.names import ROOT_DISK
from reconciler.model.results import SnapshotFile, SnapshotInfo, SnapshotNodeInfo
from reconciler.model.snapshot import SnapshotNode
from reconciler.model.status import HeldSnapshot


def snapshot_info(held: HeldSnapshot, order: tuple[str, ...]) -> SnapshotInfo:
    """A snapshot with its nodes in this order; other nodes come last."""
    manifest = held.manifest
    parts = {node: manifest.nodes[node] for node in (*order, *sorted(manifest.nodes)) if node in manifest.nodes}
    return SnapshotInfo(
        snapshot_name=manifest.snapshot_name,
        cluster_name=manifest.cluster_name,
        created_at=manifest.created_at,
        include_memory=manifest.include_memory,
        pause_s=manifest.pause_s,
        per_node={node: _node_info(node, part, held.sizes) for node, part in parts.items()},
    )


def _node_info(node: str, part: SnapshotNode, sizes: Mapping[str, int]) -> SnapshotNodeInfo:
    disks = {target: _file_info(disk.path, sizes) for target, disk in part.disks.items()}
    memory = _file_info(part.memory, sizes) if part.memory else None
    return SnapshotNodeInfo(
        node_name=node,
        disk_path=disks[ROOT_DISK].path,
        size_bytes=sum(file.size_bytes for file in (*disks.values(), *([memory] if memory else []))),
        memory_path=memory.path if memory else None,
        power=part.power,
        disks=disks,
        memory_bytes=memory.size_bytes if memory else 0,
    )


def _file_info(path: Path, sizes: Mapping[str, int]) -> SnapshotFile:
    """A file of a snapshot: as another host said, or as it is here."""
    size = sizes.get(str(path))
    return SnapshotFile(path=str(path), size_bytes=allocated_bytes(path) if size is None else size)


def files_on_host(name: str, held: Iterable[HeldSnapshot]) -> dict[Path, int]:
    """The files of a snapshot that are on this host, and their size."""
    parts = [part for of in held if of.manifest.snapshot_name == name for part in of.manifest.nodes.values()]
    files = [disk.path for part in parts for disk in part.disks.values()] + [of.memory for of in parts if of.memory]
    return {file: allocated_bytes(file) for file in files if file.exists()}


def bytes_gone(files: Mapping[Path, int]) -> int:
    """The size of those that are not there now."""
    return sum(size for file, size in files.items() if not file.exists())
