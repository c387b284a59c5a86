"""Directories of a cluster: created with our mark, which tells them from those of others."""

import os
from pathlib import Path

from reconciler.files.marked_files import CLUSTER_DIR_MODE, directory_names, ensure_directory
from reconciler.files.ownership import OwnedKind, OwnerMark, is_owned, not_ours, read_mark, write_mark
from reconciler.model.origin import Origin


def ensure_our_directory(path: Path, cluster: str, origin: Origin | None) -> None:
    """Create a directory with our mark; one of our own stays as it is, and an empty one is adopted.

    Raises `Conflict` if it is somebody else's.
    """
    ensure_directory(path, mode=CLUSTER_DIR_MODE)
    if directory_mark(path, cluster) is None and not directory_names(path):
        mark_directory(path, cluster, origin)


def mark_directory(path: Path, cluster: str, origin: Origin | None) -> None:
    """Put our mark on a directory."""
    write_mark(_real(path), OwnerMark(cluster=cluster, kind=OwnedKind.DIRECTORY, origin=origin))


def directory_mark(path: Path, cluster: str) -> OwnerMark | None:
    """The mark of a directory of the cluster; None if it has none, and is empty or contains a file of the cluster.

    Earlier versions did not mark theirs. A link to a directory is followed. Raises `Conflict` if it is not the
    cluster's, `FileNotFoundError` if it does not exist, and `OperationFailed` if it cannot be read.
    """
    place = _real(path)
    mark = read_mark(place)
    if mark is not None and mark.cluster == cluster:
        return mark
    if mark is None and place.is_dir():
        names = directory_names(place)
        if not names or any(is_owned(place / name, cluster) for name in names):
            return None
    raise not_ours(place, cluster)


def _real(path: Path) -> Path:
    """Where links lead. `Path.resolve` raises a RuntimeError for links in a cycle."""
    return Path(os.path.realpath(path))
