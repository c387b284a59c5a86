"""The log of a node's serial console on the host.

virtlogd writes and rotates it, by default in files of 2 MiB. If libvirt is configured with `stdio_handler = "file"`,
QEMU writes it without limit; then its oldest part is punched out in place: QEMU appends (chardev's `logappend`), and no
offset in the file changes.
"""

import asyncio
import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from reconciler.errors import ClusterError, OperationFailed
from reconciler.files.plain import open_plain
from reconciler.model.names import console_path
from reconciler.model.record import ClusterRecord
from reconciler.process import run

CONSOLE_LIMIT_BYTES = 64 * 1024 * 1024

READ_LIMIT_BYTES = 16 * 1024 * 1024
"""Twice what virtlogd keeps by default (virtlogd.conf(5): max_size 2 MiB, max_backups 3)."""

_TAIL_BYTES = 256 * 1024
_NO_FILE = -1
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's blocks are
_HOLE_BYTES = 64 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConsoleText:
    """The end of a console's log; `whole` says whether nothing older was omitted or rotated away."""

    content: bytes
    written_at: datetime
    whole: bool


def read_console(path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> ConsoleText:
    """The newest part of a log, across its rotated files. Raises `OperationFailed` if it cannot be read.

    Files are opened from the newest to the oldest: if virtlogd rotates meanwhile, the next name leads to a file
    that was already read, which is recognised by its inode, and nothing is missed.
    """
    parts: list[bytes] = []
    seen: set[int] = set()
    written_at = 0.0
    room, holed = limit_bytes, False
    try:
        for file in [path, *_rotated(path)]:
            with open_plain(file) as opened:
                status = os.fstat(opened.fileno())
                written_at = max(written_at, status.st_mtime)
                if status.st_ino in seen or room == 0:
                    continue
                seen.add(status.st_ino)
                opened.seek(begins := _data_from(opened.fileno(), max(0, status.st_size - room)))
                parts.append(opened.read(room).lstrip(b"\0") if begins else opened.read(room))
                room -= len(parts[-1])
                holed = holed or _data_from(opened.fileno(), 0) > 0
    except OSError as error:
        raise _unreadable(path, error) from error
    whole = room > 0 and len(seen) == 1 and not holed
    return ConsoleText(b"".join(reversed(parts)), datetime.fromtimestamp(written_at, UTC), whole)


@dataclass(frozen=True, slots=True)
class ConsolePlace:
    """A position in a console's log: which file, and the offset in it."""

    path: Path
    inode: int
    offset: int

    @classmethod
    def end_of(cls, path: Path) -> "ConsolePlace":
        """Where a log ends now. Raises `OperationFailed` if it cannot be read."""
        try:
            with open_plain(path) as opened:
                status = os.fstat(opened.fileno())
        except OSError as error:
            raise _unreadable(path, error) from error
        return cls(path, status.st_ino, status.st_size)

    def read_on(self, limit_bytes: int) -> bytes | None:
        """What was written since; None if that exceeds the limit, or the log was rotated or truncated meanwhile.

        Raises `OperationFailed` if it cannot be read.
        """
        try:
            with open_plain(self.path) as opened:
                status = os.fstat(opened.fileno())
                if status.st_ino != self.inode or not 0 <= status.st_size - self.offset <= limit_bytes:
                    return None
                opened.seek(self.offset)
                return opened.read(limit_bytes)
        except OSError as error:
            raise _unreadable(self.path, error) from error


class ConsoleTail:
    """Reads what is written to a console's log from now on, across rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = self._end()
        self._missed = False

    def read_new(self) -> bytes:
        """What was written since the last call, at most `_TAIL_BYTES` at once. Raises `OperationFailed`."""
        news, more = b"", True
        try:
            while more and len(news) < _TAIL_BYTES:
                content, more = self._read_on(_TAIL_BYTES - len(news))
                news += content
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return news

    def take_missed(self) -> bool:
        """Whether anything was lost before it could be read since the last call."""
        missed, self._missed = self._missed, False
        return missed

    def _read_on(self, limit_bytes: int) -> tuple[bytes, bool]:
        """What follows in the file being read, and whether another file has replaced it."""
        files = [*reversed(_rotated(self._path)), self._path] if self._path.exists() else []
        inodes = [file.stat().st_ino for file in files]
        if not files:
            return b"", False
        if self._inode not in inodes:
            self._missed = self._missed or self._inode != _NO_FILE
            self._inode, self._offset = inodes[0] if self._inode != _NO_FILE else inodes[-1], 0
        at = inodes.index(self._inode)
        with open_plain(files[at]) as opened:
            if os.fstat(opened.fileno()).st_ino != self._inode:
                return b"", True  # rotated at this moment: the next call finds it under its new name
            content = self._read_from(opened, limit_bytes)
        if len(content) < limit_bytes and at < len(files) - 1:
            self._inode, self._offset = inodes[at + 1], 0
            return content, True
        return content, False

    def _read_from(self, opened: BinaryIO, limit_bytes: int) -> bytes:
        size = os.fstat(opened.fileno()).st_size
        gone = size < self._offset  # it was truncated, or it is a different file that reuses the inode
        offset = 0 if gone else self._offset
        begins = min(size, _data_from(opened.fileno(), offset))
        self._missed = self._missed or gone or begins > offset
        opened.seek(begins)
        content = opened.read(limit_bytes)
        self._offset = begins + len(content)
        return content.lstrip(b"\0") if begins > offset else content

    def _end(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return _NO_FILE, 0
        return status.st_ino, status.st_size


async def bound_console(path: Path, limit_bytes: int) -> int:
    """Give the oldest part of a log back to the disk if it exceeds the limit; returns the bytes given back.

    Half of the limit is kept. Raises `OSError`, `HostCommandFailed` and `HostCapabilityMissing`.
    """
    size, taken = await asyncio.to_thread(_size_and_taken, path)
    if taken <= limit_bytes:
        return 0
    length = (size - limit_bytes // 2) // _HOLE_BYTES * _HOLE_BYTES
    await run(["fallocate", "--punch-hole", "--offset", "0", "--length", str(length), str(path)])
    return taken - (await asyncio.to_thread(_size_and_taken, path))[1]


def _size_and_taken(path: Path) -> tuple[int, int]:
    """How long a log is, and how much of the disk it uses; zeros if it is not a file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0, 0
    return (status.st_size, status.st_blocks * _BLOCK_BYTES) if stat.S_ISREG(status.st_mode) else (0, 0)


def console_written_ns(path: Path) -> int:
    """When a log was last written to; it is created when its machine starts. Raises `OperationFailed`.

    A file that was rotated away was last written before its successor was created.
    """
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise _unreadable(path, error) from error


def note_on_console(path: Path, line: str) -> None:
    """Append a line of our own to a log, if there is one. Raises `OSError`.

    virtlogd appends as well (virrotatingfile.c opens with O_APPEND), so that neither overwrites the other.
    """
    try:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(log, f"\r\n{line}\r\n".encode())
    finally:
        os.close(log)


def delete_console_logs(directory: Path, node: str) -> None:
    """Delete a node's console log and its rotated parts (`.0`, `.1`, …; virtlogd.conf(5), max_backups)."""
    pattern = re.compile(rf"{re.escape(node)}\.console\.log(\.[0-9]+)?")
    try:
        for entry in list(directory.iterdir()) if directory.is_dir() else []:
            if pattern.fullmatch(entry.name):
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise OperationFailed(f"cannot delete console logs in {directory}: {error.strerror}", node=node) from error


def _rotated(path: Path) -> list[Path]:
    """The rotated files of a log, from the newest, `.0`, to the oldest."""
    pattern = re.compile(rf"{re.escape(path.name)}\.([0-9]{{1,6}})")
    found = {int(name[1]): entry for entry in path.parent.iterdir() if (name := pattern.fullmatch(entry.name))}
    return [found[number] for number in sorted(found)]


def _data_from(file: int, offset: int) -> int:
    """Where data follows in a file, at or after `offset`; the file's end if only a hole follows."""
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return max(offset, os.fstat(file).st_size)


def _unreadable(path: Path, error: OSError) -> OperationFailed:
    return OperationFailed(
        f"the console log {path} cannot be read: {error.strerror}",
        hint="virtlogd writes it as root; run as root, or give this user read permission"
        if isinstance(error, PermissionError)
        else "it is written from the node's first boot on",
    )


async def bound_consoles(record: ClusterRecord, limit_bytes: int) -> None:
    """Keep guests that write without end from filling the disk: truncate logs that nothing else keeps short.

    A failure is only logged.
    """
    paths = {node: console_path(record.spec.overlay_dir, record.cluster_name, node) for node in record.spec.nodes}
    for node in await asyncio.to_thread(_above_limit, paths, limit_bytes):
        about = {"cluster": record.cluster_name, "node": node, "path": str(paths[node])}
        try:
            cut_bytes = await bound_console(paths[node], limit_bytes)
        except (ClusterError, OSError) as error:
            log.warning("console_not_cut", **about, cause=str(error), remedy='`stdio_handler = "logd"` in qemu.conf')
        else:
            if cut_bytes:
                log.warning("console_cut", **about, cut_bytes=cut_bytes, limit_bytes=limit_bytes)


def _above_limit(paths: Mapping[str, Path], limit_bytes: int) -> list[str]:
    """The nodes whose logs are, or may be, above the limit: one look for all, as there is one in each round."""
    found = []
    for node, path in paths.items():
        try:
            taken = _size_and_taken(path)[1]
        except OSError:  # which cutting it meets again
            found.append(node)
        else:
            if taken > limit_bytes:
                found.append(node)
    return found
