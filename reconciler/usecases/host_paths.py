"""Paths on this host that callers name: which ones commands and tools may reach, and which ones nothing may."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import InvalidArgument, OperationFailed, StoreUnavailable
from reconciler.files.roots import DISK_DIR, Opened, PlaceToMake, Reach, Roots, opened, place_at, real_root
from reconciler.store.state_dir import ensure_state_dir

if TYPE_CHECKING:  # importing it would slow down the start of the server
    from reconciler.settings import Settings

_FILE_SYSTEM_ROOT = Path("/")


def absolute(argument: str, path: str) -> Path:
    """The path. Raises `InvalidArgument` for a relative one."""
    if not path.startswith("/"):
        raise InvalidArgument(
            f"{argument} {path!r} must be absolute",
            hint="a relative path would depend on the process's current directory",
        )
    return Path(path)


def reach_of_commands(settings: "Settings") -> Reach:
    """What commands may reach: every path, unless the configuration limits it."""
    return Reach(
        read=Roots("host_read_roots", settings.host_read_roots),
        write=Roots("host_write_roots", settings.host_write_roots),
        disks=Roots("disk_roots", settings.disk_roots),
    )


def reach_of_tools(settings: "Settings", named: Iterable[Path]) -> Reach:
    """What tools may reach: what the configuration says, otherwise only `named`, the client's roots, and scratch.

    Creates the scratch directory if possible; a directory that does not exist grants nothing.
    """
    scratch = scratch_dir(settings)
    with suppress(StoreUnavailable):
        ensure_state_dir(settings.state_dir)
        ensure_state_dir(scratch)
    ours = (*(_roots_of_client(named) or _working_directory()), scratch)
    disks = tuple(dict.fromkeys((settings.overlay_dir, settings.image_dir, DISK_DIR)))
    said = reach_of_commands(settings)
    return Reach(
        read=said.read if said.read.directories is not None else Roots(said.read.setting, ours),
        write=said.write if said.write.directories is not None else Roots(said.write.setting, ours),
        disks=said.disks if said.disks.directories is not None else Roots(said.disks.setting, disks),
        configured=said,
    )


def scratch_dir(settings: "Settings") -> Path:
    """A directory that tools may always use, like /tmp."""
    return settings.state_dir / "scratch"


def _roots_of_client(named: Iterable[Path]) -> tuple[Path, ...]:
    """The roots without `/`, under any name, because it would limit nothing."""
    return tuple(root for root in dict.fromkeys(named) if real_root(root) != _FILE_SYSTEM_ROOT)


def _working_directory() -> tuple[Path, ...]:
    """The directory that this process was started in, unless it is a home directory or above one.

    A client that names no roots starts its servers in its project.
    """
    with suppress(OSError, RuntimeError):
        here, home = Path.cwd(), Path.home().resolve()
        if not home.is_relative_to(here):
            return (here,)
    return ()


def open_source(path: Path, reach: Reach) -> Opened:
    """A path to read from. Raises `InvalidArgument` if it is out of reach or does not exist."""
    try:
        return opened(path, reach.read)
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error


def find_place(path: Path, reach: Reach, *, name: str = "copy") -> PlaceToMake:
    """A path to write to. Raises `InvalidArgument` if it is out of reach; `name` is one to use in a directory."""
    try:
        return place_at(path, reach.write, name=name)
    except OSError as error:
        raise OperationFailed(f"cannot write to the directory of {path}: {error.strerror}") from error
