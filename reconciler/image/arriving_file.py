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
        """Remove all of it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


@contextmanager
def arriving(path: Path) -> Iterator[ArrivingFile]:
    """The file at a path, empty if it is new. Raises `Conflict` while another process has it."""
    with reporting_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor) or not still_has_name(descriptor, path):
            raise Conflict(f"another process is downloading to {path}", hint="wait for it")
        yield ArrivingFile(path, descriptor)
    finally:
        os.close(descriptor)
