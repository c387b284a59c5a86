"""The origins of a cluster's resources, as their marks say."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Conflict
from reconciler.files.cluster_directories import directory_mark
from reconciler.files.marked_files import directory_names
from reconciler.files.ownership import OwnerMark, read_mark
from reconciler.host.cloud_init.seed_driver import files_of_seed
from reconciler.host.disks.manifests import snapshot_mark
from reconciler.model.document import Layer, Mark, Seed, Snapshot, Unknown, mark_key
from reconciler.model.names import cluster_dir
from reconciler.model.record import ClusterRecord

Marks = dict[str, Mark | Unknown]


def marks_of_files(
    record: ClusterRecord,
    layers: Mapping[str, Layer | Unknown],
    seeds: Mapping[str, Seed | Unknown],
    snapshots: Mapping[str, Snapshot | Unknown],
) -> Marks:
    """The marks of the cluster's directory and of its files that were found on disk. Blocking."""
    cluster, overlay_dir = record.cluster_name, record.spec.overlay_dir
    found = {mark_key("layers", path): read_mark_if_there(path) for path, of in layers.items() if isinstance(of, Layer)}
    for node, seed in seeds.items():
        if isinstance(seed, Seed):
            found[mark_key("seeds", node)] = read_mark_if_there(files_of_seed(overlay_dir, cluster, node)[-1])
    for name in snapshots:
        found[mark_key("snapshots", name)] = snapshot_mark(overlay_dir, cluster, name)
    marks: Marks = {key: Mark(origin=mark.origin) for key, mark in found.items() if mark is not None}
    return {**marks, **dict(_of_directory(cluster_dir(overlay_dir, cluster), cluster))}


def read_mark_if_there(path: Path | str) -> OwnerMark | None:
    """The mark of a file; None if it has none, or was deleted since it was seen."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return read_mark(path)
    return None


def _of_directory(directory: Path, cluster: str) -> Iterator[tuple[str, Mark | Unknown]]:
    key = mark_key("directory", str(directory))
    try:
        mark = directory_mark(directory, cluster)
        if mark is None and not directory_names(directory):  # it belongs to nobody
            return
        yield key, Mark(origin=mark.origin if mark is not None else None)
    except FileNotFoundError:
        return
    except Conflict as error:
        yield key, Unknown(unknown=str(error), code=error.code, terminal=True)
