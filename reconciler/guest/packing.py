"""Packs files, directories and links into a tar stream, with their holes and with the size that was actually read.

The standard library's writer trusts the size from stat(2) and fails if the file has another size: one that changes
meanwhile, or one in /proc or /sys, where stat says 0 or 4096 whatever the content is. It also writes holes out. The
format is pax with GNU's sparse files 1.0 (GNU tar's manual, appendix D), which GNU `tar` unpacks.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.files.roots import Held, Opened

ROOT = "x"
"""The name of the file or the tree itself in the directory where it is unpacked."""
COMPLETE = "complete"
"""The last entry of our streams: tar(1) cannot tell a stream cut between two entries from a whole one."""
_BLOCK_BYTES = 256 * 1024
_SEGMENTS_LIMIT = 100_000
"""Maximum number of data segments of one file; each is kept in memory."""
_STAT_BLOCK_BYTES = 512
_ENDLESS_BYTES = 1024**3
"""More than any file holds whose reported size means nothing."""
_NAMES_LIMIT = 200_000
"""Number of files with several names that are remembered; further names of any others become separate files."""
_LONG_BYTES = 8 * 1024**3
"""A size from here on does not fit into a header and goes into a record before it (8 ** 11)."""
_KINDS = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFLNK: "symbolic link",
}


@dataclass(slots=True)
class Moved:
    """What was copied: counts, bytes of content, and what was left out, with the reason."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size_bytes: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One thing to pack, reached by its name in an opened directory, so that no link on the way is followed.

    `path` is its name for messages; `open` opens it with flags and does not follow it if it is a link.
    """

    path: Path
    status: os.stat_result
    open: Callable[[int], int]
    link: str = ""

    @classmethod
    def at(cls, source: Opened) -> Self:
        """The source itself."""
        return cls(source.path, os.fstat(source.held.fileno()), source.reopen)

    @classmethod
    def beneath(cls, directory: Held, name: str, path: Path) -> Self:
        """The entry of that name in a directory. Raises `OSError`."""
        status = os.stat(name, dir_fd=directory.fileno(), follow_symlinks=False)
        link = os.readlink(name, dir_fd=directory.fileno()) if stat.S_ISLNK(status.st_mode) else ""
        return cls(path, status, partial(_open_beneath, directory, name), link)


def _open_beneath(directory: Held, name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fileno())


def file_kind(mode: int) -> str:
    """The name of a kind of file that is neither a regular file nor a directory."""
    return _KINDS.get(stat.S_IFMT(mode), "thing of an unknown kind")


class Packing:
    """A stream being written to a file; `on_bytes` is called with the bytes of content written so far."""

    def __init__(self, target: IO[bytes], moved: Moved, on_bytes: Callable[[int], None]) -> None:
        self._target, self._moved, self._on_bytes = target, moved, on_bytes
        self._first_names: dict[tuple[int, int], str] = {}

    def add(self, found: PackedFile, name: str) -> None:
        """Add something as `name`; anything but a file, directory or link is left out and listed."""
        status = found.status
        member = _member(name, status)
        if stat.S_ISREG(status.st_mode):
            first = self._first_names.get((status.st_dev, status.st_ino))
            self._add_file(found, member) if first is None else self._add_name(member, first)
        elif stat.S_ISDIR(status.st_mode):
            member.type = tarfile.DIRTYPE
            self._put(member)
            self._moved.directories += 1
        elif stat.S_ISLNK(status.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, found.link
            self._put(member)
            self._moved.links += 1
        else:
            self._note(found.path, "neither file, directory nor link")

    def end(self, last: str) -> None:
        """Add an empty file of that name, and the end of the archive."""
        self._put(tarfile.TarInfo(last))
        self._target.write(bytes(2 * tarfile.BLOCKSIZE))

    def _add_name(self, member: tarfile.TarInfo, first: str) -> None:
        """Add another name of a file that is already in the stream."""
        member.type, member.linkname = tarfile.LNKTYPE, first
        self._put(member)
        self._moved.files += 1

    def _add_file(self, found: PackedFile, member: tarfile.TarInfo) -> None:
        path, name = found.path, member.name
        descriptor = found.open(os.O_RDONLY | os.O_NONBLOCK)  # do not wait on a pipe that took its place meanwhile
        try:
            before = os.fstat(descriptor)
            if before.st_nlink > 1 and len(self._first_names) < _NAMES_LIMIT:
                self._first_names[before.st_dev, before.st_ino] = name
            segments = list(_data_segments(descriptor, before))
            if segments == [(0, before.st_size)] or not before.st_size:
                self._add_whole(path, descriptor, member, before.st_size)
            else:
                self._add_with_holes(path, descriptor, member, before.st_size, segments)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if before.st_blocks and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._note(path, "it changed while it was read")
        self._moved.files += 1

    def _add_whole(self, path: Path, descriptor: int, member: tarfile.TarInfo, size: int) -> None:
        """Write the size that was actually read: if it differs, the header is written a second time."""
        at = self._target.tell()
        member.size = size
        self._put(member)
        copied = self._copy(descriptor, size or _ENDLESS_BYTES)
        if copied == _ENDLESS_BYTES and not size:
            raise OperationFailed(f"{path} has no end")
        if copied < size and size >= _LONG_BYTES:
            self._fill(size - copied)
            copied = size
        if copied != size:
            end = self._target.tell()
            self._target.seek(at)
            member.size = copied
            self._put(member)
            self._target.seek(end)
        self._pad(copied)

    def _add_with_holes(
        self, path: Path, descriptor: int, member: tarfile.TarInfo, size: int, segments: list[tuple[int, int]]
    ) -> None:
        entries = [*segments, (size, 0)]
        chart = "".join(f"{offset}\n{length}\n" for offset, length in entries)
        chart = f"{len(entries)}\n{chart}"
        chart_bytes = -(-len(chart) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        name = PurePosixPath(member.name)
        member.pax_headers = {
            **member.pax_headers,
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": member.name,
            "GNU.sparse.realsize": str(size),
        }
        member.name = str(name.parent / "GNUSparseFile.0" / name.name)
        member.size = chart_bytes + sum(length for _, length in segments)
        self._put(member)
        self._target.write(chart.encode().ljust(chart_bytes, b"\0"))
        for offset, length in segments:
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._fill(length - self._copy(descriptor, length))
        self._pad(member.size)

    def _copy(self, descriptor: int, limit: int) -> int:
        """Copy at most `limit` bytes of a file; returns how many there were."""
        copied = 0
        while copied < limit and (block := _read(descriptor, min(_BLOCK_BYTES, limit - copied))):
            self._target.write(block)
            copied += len(block)
            self._moved.size_bytes += len(block)
            self._on_bytes(self._moved.size_bytes)
        return copied

    def _fill(self, missing: int) -> None:
        """Write zeros for what a file has lost since its header was written."""
        for done in range(0, missing, _BLOCK_BYTES):
            self._target.write(bytes(min(_BLOCK_BYTES, missing - done)))

    def _put(self, member: tarfile.TarInfo) -> None:
        self._target.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _pad(self, size: int) -> None:
        self._target.write(bytes(-size % tarfile.BLOCKSIZE))

    def _note(self, path: Path, why: str) -> None:
        self._moved.skipped.append(f"{os.fsencode(path).decode(errors='backslashreplace')}: {why}")


def pack(source: Opened, descriptor: int, on_bytes: Callable[[int], None]) -> Moved:
    """Write a file or a tree as a stream to a file descriptor, which is closed.

    Symbolic links below `source` are packed as links. Anything but files, directories and links is left out. Raises
    `OperationFailed`, and `InvalidArgument` if `source` itself is none of these.
    """
    moved, place = Moved(), source.path
    with os.fdopen(descriptor, "wb") as target:
        packing = Packing(target, moved, on_bytes)
        try:
            _require_copyable(source)
            for found, name in _walk(source):
                place = found.path
                packing.add(found, name)
            packing.end(COMPLETE)
        except OSError as error:
            raise OperationFailed(f"cannot read {place}: {error.strerror or error}") from error
    return moved


def _require_copyable(source: Opened) -> None:
    mode = source.mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InvalidArgument(
            f"{source.path} is a {file_kind(mode)}: only files and directories are copied",
            hint="read it into a file first, then copy that",
        )


def _walk(source: Opened) -> Iterator[tuple[PackedFile, str]]:
    """Everything to pack, with its name in the stream; a directory comes before its contents."""
    ahead = [(PackedFile.at(source), ROOT)]
    yield ahead[0]
    while ahead:
        above, place = ahead.pop()
        if stat.S_ISDIR(above.status.st_mode):
            directory = Held(above.open(os.O_RDONLY | os.O_DIRECTORY))
            for name in directory.names():
                below = PackedFile.beneath(directory, name, above.path / name), f"{place}/{name}"
                yield below
                ahead.append(below)


def _member(name: str, status: os.stat_result) -> tarfile.TarInfo:
    """A header with mode and date; the date is exact to the nanosecond, in any century."""
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    sign, (seconds, rest) = "-" * (status.st_mtime_ns < 0), divmod(abs(status.st_mtime_ns), 10**9)
    member.pax_headers = {"mtime": f"{sign}{seconds}.{rest:09}"}
    return member


def _data_segments(descriptor: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """The offsets and lengths of a file's data; all of it if the file system does not report holes."""
    offset, size = 0, status.st_size
    if status.st_blocks * _STAT_BLOCK_BYTES >= size:
        yield 0, size
        return
    for _ in range(_SEGMENTS_LIMIT):
        if offset >= size:
            break
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
            offset = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: no data after the offset, lseek(2)
                yield offset, size - offset
            break
        yield start, offset - start
    else:
        yield offset, size - offset  # with more segments than that, the rest is taken whole
    os.lseek(descriptor, 0, os.SEEK_SET)


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return b""  # such as /proc/kmsg: nothing more to read now
