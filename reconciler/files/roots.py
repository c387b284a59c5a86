"""Which files on this host a caller may name, and how to reach them.

A path is opened first, then judged by where the opened file really is, and only the opened file is used: links that
change meanwhile have no effect. The kernel tells where an opened file is (/proc/self/fd, proc(5)).
"""

import errno
import os
import stat
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.errors import InvalidArgument

DISK_DIR = Path("/var/lib/vmcluster/disks")
"""Where extra disks are kept, unless a caller names another place."""

_LOOK = os.O_PATH | os.O_CLOEXEC
_LINKS_FOLLOWED = 40
"""The most links that the kernel follows in one path (MAXSYMLINKS)."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The directories that a setting opens to a caller, with everything below; None: every place is open."""

    setting: str
    directories: tuple[Path, ...] | None = None

    def allow(self, real: Path) -> bool:
        """Whether a path, named without links, is below one of them."""
        if self.directories is None:
            return True
        roots = map(real_root, self.directories)
        return any(root is not None and real.is_relative_to(root) for root in roots)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a caller may name, by use: files to read, places to write to, disks of nodes.

    A topology in `topology_dir` is trusted as its administrator's. What it reads, or has created where nothing is, only
    has to be within the configuration (`configured`); only existing disks, which it writes to, are held to `disks`.
    """

    read: Roots = Roots("host_read_roots")
    write: Roots = Roots("host_write_roots")
    disks: Roots = Roots("disk_roots")
    configured: "Reach | None" = None

    @property
    def of_topologies(self) -> "Reach":
        """The reach of a topology for what it reads or has created."""
        return self.configured or self

    @property
    def of_text(self) -> "Reach":
        """The reach of a topology that the caller wrote: its own, for everything."""
        return replace(self, configured=None)


EVERYWHERE = Reach()
"""The reach of a caller who could do all that without us."""


class Held:
    """An open descriptor, closed when nothing refers to it: a thread may outlive the task that started it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def fileno(self) -> int:
        """The descriptor; open as long as this object exists."""
        return self._descriptor

    def names(self) -> list[str]:
        """The names in this directory, sorted."""
        return sorted(os.listdir(f"/proc/self/fd/{self._descriptor}"))  # noqa: PTH208  names, no paths


@dataclass(frozen=True, slots=True)
class Opened:
    """A file or directory that may be used: `path` is its name for people, `real` where it is.

    `roots` are those that allowed it; files that it names in turn must be allowed by them, too.
    """

    held: Held
    path: Path
    real: Path
    roots: tuple[Roots, ...] = ()

    @property
    def mode(self) -> int:
        """File type and permissions."""
        return os.fstat(self.held.fileno()).st_mode

    @property
    def handle(self) -> Path:
        """A path that leads to it whatever happens to its name, as long as this object exists."""
        return Path(f"/proc/self/fd/{self.held.fileno()}")

    def reopen(self, flags: int) -> int:
        """A descriptor of the same file for reading. Raises `OSError`."""
        return os.open(self.handle, flags | os.O_CLOEXEC)


@dataclass(frozen=True, slots=True)
class PlaceToMake:
    """A place where something is to be created: `name` below directories that exist (`above`) or are `missing`.

    `path` is its name for people, `real` where it is going to be.
    """

    above: Held
    missing: tuple[str, ...]
    name: str
    path: Path
    real: Path

    def directory(self) -> Held:
        """The directory itself; missing ones are created. Raises `OSError`."""
        held = self.above
        for name in self.missing:
            with suppress(FileExistsError):  # created meanwhile; it is opened only if it is not a link
                os.mkdir(name, dir_fd=held.fileno())
            held = Held(os.open(name, _LOOK | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=held.fileno()))
        return held

    def within(self, directory: Held) -> "PlaceToMake":
        """The same place, in its directory as it was created and wherever that is now."""
        real = _real_path(directory.fileno())
        return PlaceToMake(directory, (), self.name, self.path, self.real if real is None else real / self.name)

    def status(self) -> os.stat_result | None:
        """The status of what is there now, of a link itself; None if nothing is. Raises `OSError`."""
        if self.missing:
            return None
        try:
            return os.stat(self.name, dir_fd=self.above.fileno(), follow_symlinks=False)
        except FileNotFoundError:
            return None


def opened(path: Path, *roots: Roots) -> Opened:
    """Open what is at a path, through any links, if one of `roots` allows it; without roots, anywhere.

    Raises `InvalidArgument` for a place outside of them, `OSError` if it does not exist or may not be opened.
    """
    try:
        held = Held(_open(path, _LOOK))
    except OSError:
        _require_allowed(path, _would_be(path), roots)  # reveal nothing about what is outside
        raise
    real = _real_path(held.fileno())
    _require_allowed(path, real, roots)
    return Opened(held, path, real or path, roots)


def place_at(path: Path, *roots: Roots, name: str = "copy") -> PlaceToMake:
    """A place to create something, in directories that may still be missing. Raises as `opened` does.

    `name` is what an error suggests to add to a path that can only be a directory.
    """
    if path.name in {"", ".."}:
        raise InvalidArgument(
            f"{path} is an existing directory",
            hint=f"give the exact destination, such as {path / name}",
        )
    missing: list[str] = []
    above = path.parent
    while True:
        try:
            found = opened(above)
            break
        except FileNotFoundError:
            if above.name in {"", ".."}:
                _require_allowed(path, _would_be(path), roots)
                raise
            missing.insert(0, above.name)
            above = above.parent
        except OSError:
            _require_allowed(path, _would_be(path), roots)
            raise
    real = _real_path(found.held.fileno())
    target = None if real is None else real.joinpath(*missing, path.name)
    _require_allowed(path, target, roots)
    if not stat.S_ISDIR(found.mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
    return PlaceToMake(found.held, tuple(missing), path.name, path, target or path)


def why_out_of_reach(path: Path, *roots: Roots) -> str | None:
    """Why none of `roots` allows a path, which need not exist yet; None if one does."""
    try:
        opened(path, *roots)
    except InvalidArgument as error:
        return f"{error.message} ({error.hint})"
    except OSError:
        return None  # the error shows when it is used
    return None


def open_beneath(directory: int, path: bytes, flags: int) -> int:
    """Open the path below an opened directory (b"": itself), following no link. Raises `OSError`."""
    at = Held(os.dup(directory))
    *above, name = path.split(b"/")
    for part in above:
        at = Held(os.open(part, _LOOK | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at.fileno()))
    return os.open(name or b".", flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at.fileno())


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags)
    except ValueError as error:
        raise InvalidArgument(f"{str(path)!r} is not a path: {error}", hint="name a file on the host") from error


def _would_be(path: Path) -> Path | None:
    """Where a path leads that cannot be opened; None if a link on the way cannot even be read."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return None


def _real_path(descriptor: int) -> Path | None:
    """Where an opened file is; None if it no longer has a name, or has one in another mount namespace."""
    try:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        named = path.lstat()
    except (OSError, ValueError):
        return None
    return path if os.path.samestat(named, os.fstat(descriptor)) else None


def _require_allowed(path: Path, real: Path | None, roots: tuple[Roots, ...]) -> None:
    if not roots or any(of.directories is None for of in roots):
        return
    if real is not None and any(of.allow(real) for of in roots):
        return
    settings = " or ".join(f"`{of.setting}`" for of in roots)
    listed = ", ".join(dict.fromkeys(str(each) for of in roots for each in of.directories or ()))
    raise InvalidArgument(
        f"{path} is not below a directory that {settings} allows: {listed or 'there is none'}",
        hint=f"use a path below one of them, or have the directory added to {settings} in the configuration",
    )


def real_root(directory: Path) -> Path | None:
    """Where a root is, or will be once it exists; None if it is behind a link that neither root nor this user made."""
    real, ahead, followed = Path("/"), deque(directory.parts[1:]), 0
    while ahead:
        name = ahead.popleft()
        step = real.parent if name == ".." else real / name
        try:
            status = step.lstat()
        except FileNotFoundError:
            return None if ".." in ahead else step.joinpath(*ahead)
        except (OSError, ValueError):
            return None
        if not stat.S_ISLNK(status.st_mode):
            real = step
            continue
        followed += 1
        if status.st_uid not in {0, os.geteuid()} or followed > _LINKS_FOLLOWED:
            return None
        target = step.readlink()
        real = Path("/") if target.is_absolute() else real
        ahead.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return real
