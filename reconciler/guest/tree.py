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
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from reconciler.errors import ClusterError, InvalidArgument, OperationFailed

MEMBERS_LIMIT = 1_000_000
ROOT = "x"
"""What the file or the tree itself is called where it is unpacked."""
COMPLETE = "complete"
"""The last entry of a stream of ours: tar(1) takes a stream that was cut between two entries for a whole one."""
_BLOCK_BYTES = 256 * 1024
_LINE_BYTES = 4096
_MODE_BITS = 0o7777


@dataclass(slots=True)
class Moved:
    """What was copied: numbers, bytes of content, and what was left out, with the reason."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size_bytes: int = 0
    skipped: list[str] = field(default_factory=list)


class _Counted:
    """A file that tells how many bytes were read of it and of those before it."""

    def __init__(self, file: IO[bytes], moved: Moved, on_bytes: Callable[[int], None]) -> None:
        self._file, self._moved, self._on_bytes = file, moved, on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._moved.size_bytes += len(data)
        self._on_bytes(self._moved.size_bytes)
        return data


def pack(source: Path, descriptor: int, on_bytes: Callable[[int], None]) -> Moved:
    """Write a file or a tree as a stream to a descriptor, which is closed. Raises `OperationFailed`.

    Symbolic links below `source` are packed as links. What is no file, directory or link is left out.
    """
    moved = Moved()
    with os.fdopen(descriptor, "wb") as pipe:
        try:
            with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK_BYTES) as stream:
                for path, name in _walk(source.resolve(strict=True)):
                    _pack_one(stream, path, name, moved, on_bytes)
                stream.addfile(tarfile.TarInfo(COMPLETE))
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OperationFailed(f"cannot read {error.filename or source}: {error.strerror or error}") from error
    return moved


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


def _pack_one(stream: tarfile.TarFile, path: Path, name: str, moved: Moved, on_bytes: Callable[[int], None]) -> None:
    status = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = stat.S_IMODE(status.st_mode), status.st_mtime
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        moved.directories += 1
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        moved.links += 1
    elif stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            member.size = os.fstat(file.fileno()).st_size
            stream.addfile(member, _Counted(file, moved, on_bytes))
        moved.files += 1
        return
    else:
        moved.skipped.append(f"{path}: neither file, directory nor link")
        return
    stream.addfile(member)


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
        self._links: list[tuple[Path, str]] = []
        self._directories: list[tuple[Path, int, float]] = []

    def unpack(self, stream: tarfile.TarFile) -> None:
        for number, member in enumerate(stream):
            if number >= MEMBERS_LIMIT:
                raise ValueError(f"more than {MEMBERS_LIMIT} entries")
            self._unpack_one(stream, member)
        if not os.path.lexists(self._workplace / ROOT) and not self._links:
            raise ValueError("there is nothing in it")
        for path, target in self._links:
            path.symlink_to(target)
        for path, mode, mtime in reversed(self._directories):
            path.chmod(mode)
            os.utime(path, (mtime, mtime))

    def _unpack_one(self, stream: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._place(member.name)
        if member.isdir():
            path.mkdir(mode=0o700)
            self._directories.append((path, member.mode & _MODE_BITS, member.mtime))
            self._moved.directories += 1
        elif member.isreg():
            self._unpack_file(stream, member, path)
        elif member.islnk():
            os.link(self._place(member.linkname), path, follow_symlinks=False)
            self._moved.files += 1
        elif member.issym() and self._stays_inside(path, member.linkname):
            self._links.append((path, member.linkname))
            self._moved.links += 1
        else:
            why = f"a link out of the tree, to {member.linkname!r}" if member.issym() else "no file, directory or link"
            self._moved.skipped.append(f"{str(self._source.parent / member.name)!r}: {why}")

    def _unpack_file(self, stream: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        content = stream.extractfile(member)
        assert content is not None
        with path.open("xb") as file:
            while block := content.read(_BLOCK_BYTES):
                self._moved.size_bytes += len(block)
                if self._moved.size_bytes > self._limit_bytes:
                    raise ValueError(f"it holds more than {self._limit_bytes} bytes")
                file.write(block)
                self._on_bytes(self._moved.size_bytes)
            os.fchmod(file.fileno(), member.mode & _MODE_BITS & ~(stat.S_ISUID | stat.S_ISGID))
        os.utime(path, (member.mtime, member.mtime))
        self._moved.files += 1

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
