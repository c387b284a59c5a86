"""Paths on this host that callers name: how far each kind of caller reaches, and what is reached for nobody."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import InvalidArgument, OperationFailed, StoreUnavailable
from reconciler.files.roots import DISK_DIR, IMAGE_DIR, Opened, PlaceToMake, Reach, Roots, opened, place_at, real_root
from reconciler.store.state_dir import ensure_state_dir

if TYPE_CHECKING:  # a server that starts has no use for what reads the configuration
    from reconciler.settings import Settings

_FILE_SYSTEM_ROOT = Path("/")


def absolute(argument: str, path: str) -> Path:
    """The path. Raises `InvalidArgument` for a relative one."""
    if not path.startswith("/"):
        raise InvalidArgument(
            f"{argument} {path!r} must be absolute", hint="a relative path means another place for each process"
        )
    return Path(path)


def reach_of_commands(settings: "Settings") -> Reach:
    """What commands may name: every place, unless the configuration says otherwise."""
    return Reach(
        read=Roots("host_read_roots", settings.host_read_roots),
        write=Roots("host_write_roots", settings.host_write_roots),
        disks=Roots("disk_roots", settings.disk_roots),
    )


def reach_of_tools(settings: "Settings", named: Iterable[Path]) -> Reach:
    """What tools may name: what the configuration says, else little; `named` are the client's own roots.

    The scratch directory is made where that can be: what is not there opens nothing.
    """
    scratch = scratch_dir(settings)
    with suppress(StoreUnavailable):
        ensure_state_dir(settings.state_dir)
        ensure_state_dir(scratch)
    ours = (*(_roots_of_client(named) or _working_directory()), scratch)
    disks = tuple(dict.fromkeys((settings.overlay_dir, IMAGE_DIR, DISK_DIR)))
    said = reach_of_commands(settings)
    return Reach(
        read=said.read if said.read.directories is not None else Roots(said.read.setting, ours),
        write=said.write if said.write.directories is not None else Roots(said.write.setting, ours),
        disks=said.disks if said.disks.directories is not None else Roots(said.disks.setting, disks),
        configured=said,
    )


def scratch_dir(settings: "Settings") -> Path:
    """A directory that tools may always use, as /tmp is for programs."""
    return settings.state_dir / "scratch"


def _roots_of_client(named: Iterable[Path]) -> tuple[Path, ...]:
    """Without the root of all, by whatever name, which limits nothing."""
    return tuple(root for root in dict.fromkeys(named) if real_root(root) != _FILE_SYSTEM_ROOT)


def _working_directory() -> tuple[Path, ...]:
    """The directory that this process was started in, unless it is somebody's whole home or more: no project is that.

    A client that names no roots starts its servers in its project.
    """
    with suppress(OSError, RuntimeError):
        here, home = Path.cwd(), Path.home().resolve()
        if not home.is_relative_to(here):
            return (here,)
    return ()


def open_source(path: Path, reach: Reach) -> Opened:
    """What a caller names to be read. Raises `InvalidArgument` where it is out of reach, or not there."""
    try:
        return opened(path, reach.read)
    except OSError as error:
        raise InvalidArgument(f"{path} is not there, or may not be read: {error.strerror}") from error


def find_place(path: Path, reach: Reach) -> PlaceToMake:
    """Where a caller wants something written. Raises `InvalidArgument` where it is out of reach."""
    try:
        return place_at(path, reach.write)
    except OSError as error:
        raise OperationFailed(f"cannot write beside {path}: {error.strerror}") from error
