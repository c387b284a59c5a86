"""Unpacks a tar stream without trusting its author.

A stream from a guest may name anything. It is unpacked into a fresh directory beside the destination, in which no
symbolic link exists until all files are written, so no name can lead out of it. Links that would lead out of the tree,
devices, sockets and pipes are left out and listed. Nothing unpacked is writable by others than its owner or runs with
its owner's rights for them.
"""

import errno
import os
import re
import secrets
import stat
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from reconciler.errors import ClusterError, InvalidArgument, OperationFailed
from reconciler.files.removal import remove_tree
from reconciler.files.roots import Held, PlaceToMake
from reconciler.files.space import SpaceGuard
from reconciler.guest.archive import Archive, Entry
from reconciler.guest.packing import ROOT, Moved, file_kind
from reconciler.guest.tree_links import TreeLinks

MEMBERS_LIMIT = 1_000_000
_BLOCK_BYTES = 256 * 1024
_LINE_BYTES = 4096
_MODE_BITS = 0o755
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SKIPPED_LIMIT = 10_000
_REMEMBERED_LIMIT_BYTES = 128 * 1024 * 1024
"""Memory limit for the entries kept until the end of a stream: directories, links, and what was left out."""
_REMEMBERED_ENTRY_BYTES = 1000
"""Approximate memory of one such entry in addition to its texts."""
_NAME_SHOWN = 200


@dataclass(slots=True)
class Unpacked:
    """A tree unpacked beside its destination but not moved there yet: in `workplace`, a name in `directory`."""

    place: PlaceToMake
    directory: Held
    workplace: str
    inside: Held
    moved: Moved

    def publish(self, *, replace: bool = False) -> Moved:
        """Rename it to its destination; an existing file there is replaced only with `replace`.

        The new file gets no permission for others that the replaced one did not have. Raises `InvalidArgument` if
        something else exists there; the copy is gone then.
        """
        name, ends = self.place.name, (self.inside.fileno(), self.directory.fileno())
        try:
            is_directory = stat.S_ISDIR(os.stat(ROOT, dir_fd=ends[0], follow_symlinks=False).st_mode)
            if replace and not is_directory:
                self._close_to_others(name)
            if replace or is_directory:
                os.rename(ROOT, name, src_dir_fd=ends[0], dst_dir_fd=ends[1])
            else:
                _link(name, *ends)
        except OSError as error:
            raise _unpublished(self.place.path, error) from error
        finally:
            self.discard()
        return self.moved

    @property
    def place_now(self) -> PlaceToMake:
        """Where it will be renamed to: in the directory that it was unpacked in, wherever that is now."""
        return self.place.within(self.directory)

    def discard(self) -> None:
        """Delete it."""
        remove_tree(_path_of(self.inside))
        with suppress(OSError):
            os.rmdir(self.workplace, dir_fd=self.directory.fileno())

    def _close_to_others(self, name: str) -> None:
        """Remove from the new file the permissions for others that the replaced file does not have."""
        with suppress(FileNotFoundError):
            before = os.stat(name, dir_fd=self.directory.fileno(), follow_symlinks=False).st_mode
            mode = os.stat(ROOT, dir_fd=self.inside.fileno(), follow_symlinks=False).st_mode
            os.chmod(ROOT, mode & (before | stat.S_IRWXU) & _MODE_BITS, dir_fd=self.inside.fileno())


def require_free_place(place: PlaceToMake, name: str, *, replace: bool) -> None:
    """Raise `InvalidArgument` if something exists that a copy called `name` cannot replace."""
    try:
        status = place.status()
        if status is None:
            return
        taken = stat.S_ISDIR(status.st_mode) and bool(_names_in(place))
    except OSError:
        return  # what it is will show when it is written
    path = place.path
    if taken:
        raise InvalidArgument(
            f"{path} is an existing directory",
            hint=f"give the exact destination, such as {path / name}",
        )
    if stat.S_ISREG(status.st_mode) and not replace:
        raise InvalidArgument(f"{path} already exists", hint="`replace` replaces it; or use another path")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InvalidArgument(
            f"{path} is a {file_kind(status.st_mode)}, which a copy must not replace", hint="use another path"
        )


def _names_in(place: PlaceToMake) -> list[str]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return Held(os.open(place.name, flags, dir_fd=place.above.fileno())).names()


def _link(name: str, inside: int, directory: int) -> None:
    """Give a file another name that nothing has: rename(2) would replace something created there meanwhile."""
    try:
        os.link(ROOT, name, src_dir_fd=inside, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=directory, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(ROOT, name, src_dir_fd=inside, dst_dir_fd=directory)


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""Errors of link(2) on a file system without hard links."""


def _unpublished(destination: Path, error: OSError) -> ClusterError:
    message = f"cannot make {destination}: {error.strerror}"
    if error.errno in _TAKEN:
        return InvalidArgument(message, hint="use a path where nothing exists")
    return OperationFailed(message)


_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR})
"""Errors of rename(2) if the target is a directory, or a file is in a directory's way."""


def unpack(
    descriptor: int,
    source: PurePosixPath,
    destination: PlaceToMake,
    *,
    limit_bytes: int,
    on_bytes: Callable[[int], None],
    begin: re.Pattern[bytes] | None = None,
) -> Unpacked:
    """Unpack a stream of the guest's file or tree `source` from a descriptor, which is closed, beside `destination`.

    It begins after the line `begin`, if given. Raises `OperationFailed` for a stream that is not a whole archive, names
    something twice or something outside of itself, or holds more than `limit_bytes`.
    """
    with os.fdopen(descriptor, "rb") as pipe:
        try:
            unpacked = _begun(destination)
        except OSError as error:
            raise OperationFailed(f"cannot write beside {destination.path}: {error.strerror}") from error
        try:
            _skip_to(begin, pipe)
            _Unpacking(_path_of(unpacked.inside), source, unpacked.moved, limit_bytes, on_bytes).unpack(Archive(pipe))
        except (OSError, tarfile.TarError, ValueError) as error:
            unpacked.discard()
            raise OperationFailed(f"what the node sent cannot be unpacked: {error}") from error
        except BaseException:
            unpacked.discard()
            raise
        return unpacked


def _begun(destination: PlaceToMake) -> Unpacked:
    """An empty directory beside the destination that only we can use, even if others may write to its parent."""
    directory, name = destination.directory(), f".vmcluster-pull.{secrets.token_hex(8)}"
    os.mkdir(name, 0o700, dir_fd=directory.fileno())
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    inside = Held(os.open(name, flags, dir_fd=directory.fileno()))
    status = os.fstat(inside.fileno())
    if status.st_uid != os.geteuid() or status.st_mode & _OF_OTHERS or inside.names():
        raise OSError(errno.EBUSY, "somebody else is creating directories there at the same time")
    return Unpacked(destination, directory, name, inside, Moved())


def _path_of(directory: Held) -> Path:
    """A path into an opened directory that stays valid wherever the directory is moved."""
    return Path(f"/proc/self/fd/{directory.fileno()}")


def _skip_to(begin: re.Pattern[bytes] | None, pipe: IO[bytes]) -> None:
    """Skip what start-up files of the guest's shell print."""
    line = b""
    while begin and not begin.search(line):
        line = line[-_LINE_BYTES:] if not line.endswith(b"\n") else b""
        if not (more := pipe.readline(_LINE_BYTES)):
            raise ValueError("it is empty")
        line += more


class _Directory(NamedTuple):
    """What a directory gets once everything is in it."""

    place: str
    mode: int
    mtime: float | None


class _Unpacking:
    """Places are paths below the root of the tree; empty for the root itself."""

    def __init__(
        self, workplace: Path, source: PurePosixPath, moved: Moved, limit_bytes: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._workplace, self._source, self._moved = workplace, source, moved
        self._limit_bytes, self._on_bytes = limit_bytes, on_bytes
        self._space = SpaceGuard(workplace)
        self._links: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._directories: list[_Directory] = []
        self._remembered_bytes = 0

    def unpack(self, archive: Archive) -> None:
        for number, entry in enumerate(archive):
            if number >= MEMBERS_LIMIT:
                raise ValueError(f"more than {MEMBERS_LIMIT} entries")
            self._unpack_one(archive, entry)
        if not os.path.lexists(self._workplace / ROOT) and not self._links:
            raise ValueError("it is empty")
        self._make_links()
        for directory in reversed(self._directories):
            path = self._path(directory.place)
            path.chmod(directory.mode & _MODE_BITS | stat.S_IRWXU)
            self._set_date(path, directory.mtime)

    def _unpack_one(self, archive: Archive, entry: Entry) -> None:
        place = self._place(entry.name)
        path = self._path(place)
        if place in self._links:
            raise ValueError(f"it contains an entry twice: {_shown(entry.name)}")
        if entry.kind != tarfile.REGTYPE:
            self._remember(place, entry.link)
        if entry.kind == tarfile.DIRTYPE:
            path.mkdir(mode=0o700)
            self._directories.append(_Directory(place, entry.mode, entry.mtime))
            self._moved.directories += 1
        elif entry.kind == tarfile.REGTYPE:
            self._unpack_file(archive, entry, path)
        elif entry.kind == tarfile.LNKTYPE:
            self._unpack_hard_link(entry, place, path)
        elif entry.kind == tarfile.SYMTYPE:
            self._links[place] = entry.link
        else:
            self._leave_out(place, "not a file, directory or link")

    def _remember(self, place: str, link: str) -> None:
        self._remembered_bytes += _REMEMBERED_ENTRY_BYTES + sys.getsizeof(place) + sys.getsizeof(link)
        if self._remembered_bytes > _REMEMBERED_LIMIT_BYTES:
            limit_mib = _REMEMBERED_LIMIT_BYTES // 1024**2
            raise ValueError(f"its directories and links need more than {limit_mib} MiB of memory")

    def _unpack_hard_link(self, entry: Entry, place: str, path: Path) -> None:
        """Another name of an earlier entry: of a file, of a symbolic link, or of something left out."""
        target = self._place(entry.link)
        if target in self._left_out:
            self._leave_out(place, f"the same as {_shown(entry.link)}")
        elif target in self._links:
            self._links[place] = self._links[target]
        else:
            os.link(self._path(target), path, follow_symlinks=False)
            self._moved.files += 1

    def _make_links(self) -> None:
        """Create the symbolic links, now that nothing more will be written through them."""
        tree = TreeLinks(self._links)
        for place, target in self._links.items():
            if tree.leads_out(place):
                self._leave_out(place, f"a link out of the tree, to {_shown(target)}")
            else:
                self._path(place).symlink_to(target)
                self._moved.links += 1

    def _leave_out(self, place: str, why: str) -> None:
        self._left_out.add(place)
        self._note(f"{_shown(str(self._source / place))}: {why}")

    def _unpack_file(self, archive: Archive, entry: Entry, path: Path) -> None:
        """Write a file's content as it is read; its holes stay holes, of whatever length."""
        with path.open("xb") as file:
            for offset, size in zip(entry.segments[::2], entry.segments[1::2], strict=True):
                file.seek(offset)
                self._copy(archive, file, size)
            file.truncate(entry.size)
            os.fchmod(file.fileno(), entry.mode & _MODE_BITS)
        self._set_date(path, entry.mtime)
        self._moved.files += 1

    def _copy(self, archive: Archive, file: IO[bytes], size: int) -> None:
        while size > 0:
            block = archive.read(min(size, _BLOCK_BYTES))
            size -= len(block)
            self._moved.size_bytes += len(block)
            self._space.passed(self._moved.size_bytes)
            if self._moved.size_bytes > self._limit_bytes:
                raise ValueError(f"it contains more than {self._limit_bytes} bytes")
            file.write(block)
            self._on_bytes(self._moved.size_bytes)

    def _set_date(self, path: Path, mtime: float | None) -> None:
        try:
            if mtime is None:
                raise ValueError
            os.utime(path, (mtime, mtime))
        except (OverflowError, ValueError, OSError):  # a guest may say anything
            self._note(f"{_shown(path.name)}: its date, which this host cannot represent")

    def _note(self, what: str) -> None:
        if len(self._moved.skipped) < _SKIPPED_LIMIT:
            self._moved.skipped.append(what)

    def _path(self, place: str) -> Path:
        return self._workplace / ROOT / place

    def _place(self, name: str) -> str:
        """Where an entry goes. Raises `ValueError` for a name that would lead elsewhere."""
        parts = PurePosixPath(name).parts
        if not parts or parts[0] != self._source.name or ".." in parts or "\0" in name:
            raise ValueError(f"an entry is called {_shown(name)}")
        return "/".join(parts[1:])


def _shown(name: str) -> str:
    return repr(name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…")
