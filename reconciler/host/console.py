"""The log of a node's serial console, which virtlogd writes on the host."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import OperationFailed

READ_LIMIT_BYTES = 16 * 1024 * 1024
"""Twice what virtlogd keeps unless told otherwise (virtlogd.conf(5): max_size 2 MiB, max_backups 3)."""


@dataclass(frozen=True, slots=True)
class ConsoleText:
    """The end of a console's log; `whole` says whether nothing older was left out or rotated away."""

    content: bytes
    written_at: datetime
    whole: bool


def read_console(path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> ConsoleText:
    """The newest part of a log, over its rotated files. Raises `OperationFailed` where there is none to be read.

    Files are opened from the newest to the oldest: where virtlogd rotates meanwhile, the next name leads to a file
    that was read already, which is known by its inode, and nothing is missed.
    """
    parts: list[bytes] = []
    seen: set[int] = set()
    written_at = 0.0
    room = limit_bytes
    try:
        for file in [path, *_rotated(path)]:
            with file.open("rb") as opened:
                status = os.fstat(opened.fileno())
                written_at = max(written_at, status.st_mtime)
                if status.st_ino in seen or room == 0:
                    continue
                seen.add(status.st_ino)
                opened.seek(max(0, status.st_size - room))
                parts.append(opened.read(room))
                room -= len(parts[-1])
    except OSError as error:
        raise _unreadable(path, error) from error
    whole = room > 0 and len(seen) == 1
    return ConsoleText(b"".join(reversed(parts)), datetime.fromtimestamp(written_at, UTC), whole)


@dataclass(frozen=True, slots=True)
class ConsolePlace:
    """A place in a console's log: which file, and how far into it."""

    path: Path
    inode: int
    offset: int

    @classmethod
    def end_of(cls, path: Path) -> "ConsolePlace":
        """Where a log ends now. Raises `OperationFailed` where there is none to be read."""
        try:
            with path.open("rb") as opened:
                status = os.fstat(opened.fileno())
        except OSError as error:
            raise _unreadable(path, error) from error
        return cls(path, status.st_ino, status.st_size)

    def read_on(self, limit_bytes: int) -> bytes | None:
        """What was written since; None where that is more than the limit, or the log was rotated or cut meanwhile.

        Raises `OperationFailed` where there is none to be read.
        """
        try:
            with self.path.open("rb") as opened:
                status = os.fstat(opened.fileno())
                if status.st_ino != self.inode or not 0 <= status.st_size - self.offset <= limit_bytes:
                    return None
                opened.seek(self.offset)
                return opened.read(limit_bytes)
        except OSError as error:
            raise _unreadable(self.path, error) from error


class ConsoleTail:
    """What is written to a console's log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = self._end()

    def read_new(self) -> bytes:
        """What was written since the last call. Raises `OperationFailed`."""
        try:
            inode, size = self._end()
            if inode == self._inode:
                return self._read(self._path, size)
            before = next((file for file in _rotated(self._path) if file.stat().st_ino == self._inode), None)
            last = self._read(before, before.stat().st_size) if before else b""
            self._inode, self._offset = inode, 0
            return last + self._read(self._path, size)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _end(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return -1, 0
        return status.st_ino, status.st_size

    def _read(self, file: Path, size: int) -> bytes:
        if size <= self._offset:
            self._offset = size
            return b""
        with file.open("rb") as opened:
            opened.seek(max(self._offset, size - READ_LIMIT_BYTES))
            content = opened.read(READ_LIMIT_BYTES)
            self._offset = opened.tell()
        return content


def console_written_ns(path: Path) -> int:
    """When a log was last written to; it is made when its machine is started. Raises `OperationFailed`.

    A file that was rotated away has been written to before the one that took its place was made.
    """
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise _unreadable(path, error) from error


def note_on_console(path: Path, line: str) -> None:
    """Write a line of this program's own to a log, if there is one. Raises `OSError`.

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


def _unreadable(path: Path, error: OSError) -> OperationFailed:
    return OperationFailed(
        f"the console log {path} cannot be read: {error.strerror}",
        hint="virtlogd writes it as root; run as root, or give yourself the right to read it"
        if isinstance(error, PermissionError)
        else "it is written from the node's first boot on",
    )
