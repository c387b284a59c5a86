"""Binds marks to the files that carry them now: files restored from a backup are the cluster's again."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from reconciler.files.marked_files import directory_names
from reconciler.files.ownership import bind_copy
from reconciler.model.names import cluster_dir


def bind_copies(
    overlay_dir: Path, cluster: str, others: Iterable[Path], require_term: Callable[[], None]
) -> list[Path]:
    """Make copied marks valid on the files of the cluster's directory and on `others`; returns the files that had one.

    Blocking. It can be repeated after an interruption at any point. Raises what `bind_copy` raises, and what
    `require_term` does, which is asked before each file whether this host still may act.
    """
    bound = []
    for path in _places(cluster_dir(overlay_dir, cluster), others):
        require_term()
        if bind_copy(path, cluster):
            bound.append(path)
    return bound


def _places(directory: Path, others: Iterable[Path]) -> Iterator[Path]:
    """The directory first: without its mark, its contents belong to nobody. Then everything down to snapshots."""
    if directory.exists():
        yield directory.resolve()
    yield from (path for path in others if path.exists())
    for name in sorted(directory_names(directory)):
        yield (path := directory / name)
        if name == "snapshots" and path.is_dir() and not path.is_symlink():
            for snapshot in sorted(path / name for name in directory_names(path)):
                yield snapshot
                yield from (
                    snapshot / entry for entry in sorted(directory_names(snapshot)) if not snapshot.is_symlink()
                )
