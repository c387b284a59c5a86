"""A file that is being downloaded: what has arrived of it, where from, and of which of its versions.

Both survive the process, so that the next attempt can ask for the rest.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.errors import Conflict
from reconciler.files.atomic import reporting_os_errors, write_whole
from reconciler.files.locks import still_has_name, try_lock
from reconciler.files.plain import read_plain_file

_ORIGIN_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """Where a file comes from: `validator` names its version there, for `If-Range`; None if nothing does."""

    url: str
    validator: str | None = None
    size_bytes: int | None = None


class ArrivingFile:
    """The part of a file that is there, open for appending and locked against other processes. Blocking."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.joined = self.have_bytes > 0
        """Whether it may consist of parts that arrived at different times."""

    @property
    def have_bytes(self) -> int:
        """How much has arrived."""
        return os.fstat(self._descriptor).st_size

    def origin(self, url: str) -> FileOrigin | None:
        """What is known of the part, if it comes from there."""
        try:
            said = FileOrigin(**json.loads(read_plain_file(self._note, limit_bytes=_ORIGIN_LIMIT_BYTES)))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return said if said.url == url else None

    def begin(self, origin: FileOrigin | None = None) -> None:
        """Forget what has arrived, and expect a file from there."""
        os.ftruncate(self._descriptor, 0)
        self.joined = False
        if origin is None:
            self._note.unlink(missing_ok=True)
        else:
            write_whole(self._note, json.dumps(asdict(origin)).encode())

    def append(self, chunk: bytes) -> None:
        """Add what has arrived."""
        left = memoryview(chunk)
        while left:
            left = left[os.pwrite(self._descriptor, left, self.have_bytes) :]

    def discard(self) -> None:
        """Remove all of it, and what was made of it."""
        for path in (self.made, self._note, self.path):
            path.unlink(missing_ok=True)

    @property
    def made(self) -> Path:
        """Where something can be made of it, such as the same image in another format; no image has such a name."""
        return self.path.with_name(f"{self.path.name}.made")

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


@contextmanager
def arriving(path: Path) -> Iterator[ArrivingFile]:
    """The file at a path, empty if it is new. Raises `Conflict` while another process has it.

    What was made of it and not moved away is removed, also that of a killed process; so is an empty file.
    """
    descriptor = _open(path)
    file = ArrivingFile(path, descriptor)
    try:
        with reporting_os_errors(path):
            file.made.unlink(missing_ok=True)
        yield file
    finally:
        if still_has_name(descriptor, path):
            file.made.unlink(missing_ok=True)
            if not file.have_bytes:
                file.discard()
        os.close(descriptor)


def _open(path: Path) -> int:
    """The file, locked; one with a second name is already in use under that, so nothing more is written to it."""
    with reporting_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if not try_lock(descriptor) or not still_has_name(descriptor, path):
        os.close(descriptor)
        raise Conflict(f"another process is downloading to {path}", hint="wait for it")
    if os.fstat(descriptor).st_nlink == 1:
        return descriptor
    path.unlink()
    os.close(descriptor)
    return _open(path)
