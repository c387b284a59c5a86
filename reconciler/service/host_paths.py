"""Paths on this host that programs name."""

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import InvalidArgument

if TYPE_CHECKING:  # a server that starts has no use for what reads the configuration
    from reconciler.settings import Settings


def absolute(argument: str, path: str) -> Path:
    """The path. Raises `InvalidArgument` for a relative one."""
    if not path.startswith("/"):
        raise InvalidArgument(
            f"{argument} {path!r} must be absolute", hint="a relative path means another place for each process"
        )
    return Path(path)


def require_not_kept(path: Path, settings: "Settings") -> None:
    """Raise `InvalidArgument` for a place that vmcluster keeps something in: no copy ever comes there."""
    real = path.parent.resolve() / path.name
    directories = (settings.state_dir, settings.overlay_dir, settings.artifact_store_dir)
    files = (settings.artifact_registry, settings.fault_registry, settings.ssh_key_path)
    if any(real.is_relative_to(kept.resolve()) for kept in directories) or real in {kept.resolve() for kept in files}:
        raise InvalidArgument(f"{path} is among the files that vmcluster keeps", hint="name another place")
