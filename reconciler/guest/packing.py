"""Files, directories and links into a tar stream, as they are found: with holes, and with the size that was read.

The library's own writer believes the size that stat(2) tells and fails where a file has another: one that changes
meanwhile, or one of /proc or /sys, which say 0 or 4096 whatever they hold. It writes holes out as well. The format is
that of pax, with GNU's sparse files 1.0 (GNU tar's manual, appendix D), which `tar` of GNU unpacks.
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

from reconciler.errors import OperationFailed
from reconciler.files.roots import Held, Opened

_BLOCK_BYTES = 256 * 1024
_SEGMENTS_LIMIT = 100_000
"""Pieces of a file between holes; each is kept in mind."""
_STAT_BLOCK_BYTES = 512
_ENDLESS_BYTES = 1024**3
"""More than any file holds that says nothing of its size."""
_NAMES_LIMIT = 200_000
"""Of files that are remembered because they have more names than one; the others' next names are files of their own."""
_LONG_BYTES = 8 * 1024**3
"""From here on a size has no room in a header, but in a record of its own before it (8 ** 11)."""
_KINDS = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFLNK: "symbolic link",
}


@dataclass(slots=True)
class Moved:
    """What was copied: numbers, bytes of content, and what was left out, with the reason."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size_bytes: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PackedFile:
    """What is to be packed, reached by its name in an opened directory: no link on the way to it counts.

    `path` is its name for people; `open` opens it with flags and does not follow it if it is a link.
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
        """What has that name in a directory. Raises `OSError`."""
        status = os.stat(name, dir_fd=directory.fileno(), follow_symlinks=False)
        link = os.readlink(name, dir_fd=directory.fileno()) if stat.S_ISLNK(status.st_mode) else ""
        return cls(path, status, partial(_open_beneath, directory, name), link)


def _open_beneath(directory: Held, name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fileno())


def kind_of(mode: int) -> str:
    """What a thing is that is no file or directory."""
    return _KINDS.get(stat.S_IFMT(mode), "thing of an unknown kind")


class Packing:
    """A stream on its way into a file; `on_bytes` is told how many bytes of content are in it."""

    def __init__(self, target: IO[bytes], moved: Moved, on_bytes: Callable[[int], None]) -> None:
        self._target, self._moved, self._on_bytes = target, moved, on_bytes
        self._first_names: dict[tuple[int, int], str] = {}

    def add(self, found: PackedFile, name: str) -> None:
        """Put in what was found, as `name`; what is no file, directory or link is left out and listed."""
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
        """Put in an empty file of that name, and the end of the archive."""
        self._put(tarfile.TarInfo(last))
        self._target.write(bytes(2 * tarfile.BLOCKSIZE))

    def _add_name(self, member: tarfile.TarInfo, first: str) -> None:
        """One more name of a file that is in it."""
        member.type, member.linkname = tarfile.LNKTYPE, first
        self._put(member)
        self._moved.files += 1

    def _add_file(self, found: PackedFile, member: tarfile.TarInfo) -> None:
        path, name = found.path, member.name
        descriptor = found.open(os.O_RDONLY | os.O_NONBLOCK)  # no pipe is waited for that took its place meanwhile
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
        """The size in the header is what was read: the header is written once more where that is another."""
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
        """At most so many bytes of a file, and how many there were."""
        copied = 0
        while copied < limit and (block := _read(descriptor, min(_BLOCK_BYTES, limit - copied))):
            self._target.write(block)
            copied += len(block)
            self._moved.size_bytes += len(block)
            self._on_bytes(self._moved.size_bytes)
        return copied

    def _fill(self, missing: int) -> None:
        """Zeros for what a file has lost since its header was written."""
        for done in range(0, missing, _BLOCK_BYTES):
            self._target.write(bytes(min(_BLOCK_BYTES, missing - done)))

    def _put(self, member: tarfile.TarInfo) -> None:
        self._target.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _pad(self, size: int) -> None:
        self._target.write(bytes(-size % tarfile.BLOCKSIZE))

    def _note(self, path: Path, why: str) -> None:
        self._moved.skipped.append(f"{os.fsencode(path).decode(errors='backslashreplace')}: {why}")


def _member(name: str, status: os.stat_result) -> tarfile.TarInfo:
    """A header with mode and date, the latter to the nanosecond, whatever century it is of."""
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    sign, (seconds, rest) = "-" * (status.st_mtime_ns < 0), divmod(abs(status.st_mtime_ns), 10**9)
    member.pax_headers = {"mtime": f"{sign}{seconds}.{rest:09}"}
    return member


def _data_segments(descriptor: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """Where in a file there is data, as offsets and lengths; all of it where the file system knows no holes."""
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
            if error.errno != errno.ENXIO:  # ENXIO: no data behind the offset, lseek(2)
                yield offset, size - offset
            break
        yield start, offset - start
    else:
        yield offset, size - offset  # what is more torn is taken whole
    os.lseek(descriptor, 0, os.SEEK_SET)


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return b""  # such as /proc/kmsg: there is no more now
