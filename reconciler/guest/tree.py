"""Files and trees as a tar stream: packed from the host's files, unpacked with no trust in who packed it.

A stream from a guest may name anything. It is unpacked into a fresh directory beside the destination in which no
symbolic link exists before all files are written, so no name can lead out of it. Links that would lead out of the
tree, devices, sockets and pipes are left out and listed.
"""

import errno
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from reconciler.errors import ClusterError, InvalidArgument, OperationFailed
from reconciler.guest.packing import Moved, Packing, kind_of

MEMBERS_LIMIT = 1_000_000
ROOT = "x"
"""What the file or the tree itself is called where it is unpacked."""
COMPLETE = "complete"
"""The last entry of a stream of ours: tar(1) takes a stream that was cut between two entries for a whole one."""
_BLOCK_BYTES = 256 * 1024
_LINE_BYTES = 4096
_MODE_BITS = 0o7777


def pack(source: Path, descriptor: int, on_bytes: Callable[[int], None]) -> Moved:
    """Write a file or a tree as a stream to a descriptor of a file, which is closed.

    Symbolic links below `source` are packed as links. What is no file, directory or link is left out. Raises
    `OperationFailed`, and `InvalidArgument` where `source` itself is none of these.
    """
    moved = Moved()
    with os.fdopen(descriptor, "wb") as target:
        packing = Packing(target, moved, on_bytes)
        try:
            _require_copyable(source)
            for path, name in _walk(source.resolve(strict=True)):
                packing.add(path, name)
            packing.end(COMPLETE)
        except OSError as error:
            raise OperationFailed(f"cannot read {error.filename or source}: {error.strerror or error}") from error
    return moved


def _require_copyable(source: Path) -> None:
    mode = source.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InvalidArgument(
            f"{source} is a {kind_of(mode)}: only files and directories are copied",
            hint="read it into a file first, then copy that",
        )


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    yield source, ROOT
    if source.is_dir():
        for directory, names, files in os.walk(source, onerror=_raise):
            names.sort()
            below = PurePosixPath(ROOT, Path(directory).relative_to(source))
            for name in sorted([*names, *files]):
                yield Path(directory, name), str(below / name)


def _raise(error: OSError) -> None:
    raise error


@dataclass(slots=True)
class Unpacked:
    """A tree that was unpacked beside its destination and is not there yet."""

    workplace: Path
    moved: Moved

    def publish(self, destination: Path) -> Moved:
        """Rename it to its destination. Raises `InvalidArgument` where something else is; it is gone then."""
        try:
            (self.workplace / ROOT).rename(destination)
        except OSError as error:
            raise _unpublished(destination, error) from error
        finally:
            self.discard()
        return self.moved

    def discard(self) -> None:
        """Take it away."""
        shutil.rmtree(self.workplace, ignore_errors=True)


def require_room(destination: Path, name: str) -> None:
    """Raise `InvalidArgument` where a directory is that no copy of what is called `name` can take the place of."""
    try:
        taken = destination.is_dir() and not destination.is_symlink()
        taken = taken and (not destination.name or any(destination.iterdir()))
    except OSError:
        return  # what it is shows when it is written
    if taken:
        raise InvalidArgument(
            f"{destination} is a directory that is there already",
            hint=f"say where exactly the copy goes, such as {destination / name}",
        )


def _unpublished(destination: Path, error: OSError) -> ClusterError:
    message = f"cannot make {destination}: {error.strerror}"
    if error.errno in _TAKEN:
        return InvalidArgument(message, hint="name a place where nothing is")
    return OperationFailed(message)


_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR})
"""By rename(2) for a place where a directory is, or a file in a directory's way."""


def unpack(
    descriptor: int,
    source: PurePosixPath,
    destination: Path,
    *,
    limit_bytes: int,
    on_bytes: Callable[[int], None],
    begin: re.Pattern[bytes] | None = None,
) -> Unpacked:
    """Unpack a stream of the guest's file or tree `source` from a descriptor, which is closed, beside `destination`.

    It begins behind the line `begin`, where that is given. Raises `OperationFailed` for a stream that is no whole
    archive, names something twice or outside of itself, or holds more than `limit_bytes`.
    """
    with os.fdopen(descriptor, "rb") as pipe:
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            workplace = Path(tempfile.mkdtemp(prefix=f".{destination.name[:100]}.", dir=destination.parent))
        except OSError as error:
            raise OperationFailed(f"cannot write beside {destination}: {error.strerror}") from error
        unpacked = Unpacked(workplace, Moved())
        try:
            _skip_to(begin, pipe)
            with tarfile.open(fileobj=pipe, mode="r|", bufsize=_BLOCK_BYTES) as stream:
                _Unpacking(workplace, source, unpacked.moved, limit_bytes, on_bytes).unpack(stream)
        except (OSError, tarfile.TarError, ValueError) as error:
            unpacked.discard()
            raise OperationFailed(f"what the node sent cannot be unpacked: {error}") from error
        except BaseException:
            unpacked.discard()
            raise
        return unpacked


def _skip_to(begin: re.Pattern[bytes] | None, pipe: IO[bytes]) -> None:
    """Pass over what start-up files of the guest's shell print."""
    line = b""
    while begin and not begin.search(line):
        line = line[-_LINE_BYTES:] if not line.endswith(b"\n") else b""
        if not (more := pipe.readline(_LINE_BYTES)):
            raise ValueError("there is nothing in it")
        line += more


class _Unpacking:
    def __init__(
        self, workplace: Path, source: PurePosixPath, moved: Moved, limit_bytes: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._workplace, self._source, self._moved = workplace, source, moved
        self._limit_bytes, self._on_bytes = limit_bytes, on_bytes
        self._links: dict[Path, str] = {}
        self._left_out: set[Path] = set()
        self._directories: list[tuple[Path, int, float]] = []

    def unpack(self, stream: tarfile.TarFile) -> None:
        for number, member in enumerate(stream):
            if number >= MEMBERS_LIMIT:
                raise ValueError(f"more than {MEMBERS_LIMIT} entries")
            self._unpack_one(stream, member)
        if not os.path.lexists(self._workplace / ROOT) and not self._links:
            raise ValueError("there is nothing in it")
        for path, target in self._links.items():
            path.symlink_to(target)
        for path, mode, mtime in reversed(self._directories):
            path.chmod(mode)
            self._set_date(path, mtime)

    def _unpack_one(self, stream: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        # a file with holes has a name made up beside its own; of two long ones the library may take the former
        member.name = member.pax_headers.get("GNU.sparse.name", member.name)
        path = self._place(member.name)
        if member.isdir():
            path.mkdir(mode=0o700)
            self._directories.append((path, member.mode & _MODE_BITS, member.mtime))
            self._moved.directories += 1
        elif member.isreg():
            self._unpack_file(stream, member, path)
        elif member.islnk():
            self._unpack_hard_link(member, path)
        elif member.issym():
            self._unpack_link(member, path, member.linkname)
        else:
            self._leave_out(member, path, "no file, directory or link")

    def _unpack_hard_link(self, member: tarfile.TarInfo, path: Path) -> None:
        """Another name of what came before: of a file, of a symbolic link, or of what was left out."""
        target = self._place(member.linkname)
        if target in self._left_out:
            self._leave_out(member, path, f"the same as {member.linkname!r}")
        elif target in self._links:
            self._unpack_link(member, path, self._links[target])
        else:
            os.link(target, path, follow_symlinks=False)
            self._moved.files += 1

    def _unpack_link(self, member: tarfile.TarInfo, path: Path, target: str) -> None:
        if not self._stays_inside(path, target):
            self._leave_out(member, path, f"a link out of the tree, to {target!r}")
            return
        if path in self._links:
            raise ValueError(f"an entry is twice in it: {member.name!r}")
        self._links[path] = target
        self._moved.links += 1

    def _leave_out(self, member: tarfile.TarInfo, path: Path, why: str) -> None:
        self._left_out.add(path)
        self._moved.skipped.append(f"{str(self._source.parent / member.name)!r}: {why}")

    def _unpack_file(self, stream: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        """The content of a file, which is read as it comes: what is a hole in it becomes one, of whatever length."""
        content = cast("IO[bytes]", stream.fileobj)
        content.seek(member.offset_data)
        whole = [(0, member.size if member.sparse is None else 0)]
        with path.open("xb") as file:
            for offset, size in cast("list[tuple[int, int]] | None", member.sparse) or whole:
                file.seek(offset)
                self._copy(content, file, size)
            file.truncate(member.size)
            os.fchmod(file.fileno(), member.mode & _MODE_BITS & ~(stat.S_ISUID | stat.S_ISGID))
        self._set_date(path, member.mtime)
        self._moved.files += 1

    def _copy(self, content: IO[bytes], file: IO[bytes], size: int) -> None:
        while size > 0 and (block := content.read(min(size, _BLOCK_BYTES))):
            size -= len(block)
            self._moved.size_bytes += len(block)
            if self._moved.size_bytes > self._limit_bytes:
                raise ValueError(f"it holds more than {self._limit_bytes} bytes")
            file.write(block)
            self._on_bytes(self._moved.size_bytes)
        if size > 0:
            raise ValueError("a file in it was cut")

    def _set_date(self, path: Path, mtime: float) -> None:
        try:
            os.utime(path, (mtime, mtime))
        except (OverflowError, ValueError):  # a guest may say anything
            self._moved.skipped.append(f"{path.name!r}: its date, which this host has no room for")

    def _place(self, name: str) -> Path:
        """Where an entry goes. Raises `ValueError` for a name that would lead elsewhere."""
        parts = PurePosixPath(name).parts
        if not parts or parts[0] != self._source.name or ".." in parts or "\0" in name:
            raise ValueError(f"an entry is called {name!r}")
        return self._workplace.joinpath(ROOT, *parts[1:])

    def _stays_inside(self, path: Path, target: str) -> bool:
        root = self._workplace / ROOT
        if PurePosixPath(target).is_absolute() or path == root:
            return False
        return Path(os.path.normpath(path.parent / target)).is_relative_to(root)
