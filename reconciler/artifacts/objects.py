"""The store's files: each distinct content once, named by its SHA-256, independent of every source.

A file system that can (btrfs, xfs) shares the blocks with the source (FICLONE, ioctl_ficlone(2)): the copy is made
before it is read, so that what is hashed cannot change meanwhile. Elsewhere a file is written while it is hashed.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from reconciler.artifacts.elf import HEAD_BYTES, is_program
from reconciler.artifacts.module_file import module_name, read_vermagic
from reconciler.artifacts.reading_cache import FileReading
from reconciler.artifacts.scan import FoundFile, Signature, changed, signature_of
from reconciler.artifacts.tree_entries import Role, path_text
from reconciler.errors import InvalidArgument
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.exposure import make_unexposed
from reconciler.files.roots import Held
from reconciler.files.space import require_space

_FICLONE = 0x40049409  # linux/fs.h
_CHUNK_BYTES = 1024 * 1024
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}


@dataclass(frozen=True, slots=True)
class _Read:
    sha256: str
    head: bytes
    vermagic: str | None
    """None if the file is not a module."""


class Objects:
    """The contents in one store directory; safe for many threads and processes, as stored contents never change.

    A file is created in one of 256 directories, if possible in the one where it stays: in a single directory, writers
    would queue for each name, and ext4 would search one group for inodes.
    """

    def __init__(self, directory: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self.directory = directory / "objects"
        self._can_clone = True

    def path(self, sha256: str) -> Path:
        """Where a content is stored, or would be."""
        return Path(self._place(sha256))

    def require_space(self, needed_bytes: int) -> None:
        """Raise `OperationFailed` if there is no room for that many bytes here."""
        with reporting_os_errors(self.directory):
            make_unexposed(self.directory, mode=0o700)
            require_space(self.directory, needed_bytes)

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether the whole content is here: a power cut may leave a name with less than was written."""
        with reporting_os_errors(self.directory):
            try:
                return os.stat(self._place(sha256)).st_size == size_bytes
            except FileNotFoundError:
                return False

    def prepare(self) -> None:
        """Create the directories."""
        with reporting_os_errors(self.directory):
            make_unexposed(self.directory, mode=0o700)
            for byte in range(256):
                (self.directory / f"{byte:02x}").mkdir(mode=0o700, exist_ok=True)

    def take_in(self, directory: Held, found: FoundFile, *, stopped: Callable[[], bool]) -> FileReading:
        """Read one file of a tree, found in `directory`; a copy of it is stored when this returns.

        Raises `Conflict` if the file is not the scanned one or changes while it is read, and `InvalidArgument` if
        it cannot be read.
        """
        source = _open_source(directory, found)
        try:
            if signature_of(os.fstat(source)) != found.signature:
                raise changed(found.path)
            read_at_ns = self._clock_ns()
            read = self._keep(source, found, stopped)
            if signature_of(os.fstat(source)) != found.signature:
                raise changed(found.path)
            return _reading(found.signature, read_at_ns, read, found.path)
        finally:
            os.close(source)

    def delete_all_but(self, needed: Container[str]) -> int:
        """Delete contents that are not needed, and what killed processes left; returns the bytes freed.

        No other process may be reading a tree into the store.
        """
        freed_bytes = 0
        for path in self.directory.glob("??/*"):
            if path.parent.name + path.name not in needed:
                freed_bytes += path.stat().st_size
                path.unlink()
        return freed_bytes

    def _place(self, sha256: str) -> str:
        return f"{self.directory}/{sha256[:2]}/{sha256[2:]}"

    def _keep(self, source: int, found: FoundFile, stopped: Callable[[], bool]) -> _Read:
        if found.signature[1] <= _CHUNK_BYTES and not self._can_clone:
            return self._keep_small(source, found)
        inode = found.signature[0]
        with _new_file(f"{self.directory}/{inode % 256:02x}") as (descriptor, temporary):
            cloned = self._clone(source, descriptor)
            write = None if cloned else partial(self._write, descriptor)
            sha256, head = _hashed(descriptor if cloned else source, write, found, stopped)
            with os.fdopen(os.dup(descriptor), "rb") as kept:
                read = _Read(sha256, head, self._vermagic(found.path, kept))
            if self.has(read.sha256, found.signature[1]):
                os.unlink(temporary)
            else:
                self._publish(descriptor, temporary, read.sha256, found)
        return read

    def _keep_small(self, source: int, found: FoundFile) -> _Read:
        """Nothing is written if the content is already stored."""
        size_bytes = found.signature[1]
        content = os.read(source, size_bytes + 1)
        if len(content) != size_bytes:
            raise changed(found.path)
        vermagic = self._vermagic(found.path, BytesIO(content))
        read = _Read(hashlib.sha256(content).hexdigest(), content[:HEAD_BYTES], vermagic)
        if not self.has(read.sha256, size_bytes):
            with _new_file(f"{self.directory}/{read.sha256[:2]}") as (descriptor, temporary):
                self._write(descriptor, content)
                self._publish(descriptor, temporary, read.sha256, found)
        return read

    def _vermagic(self, path: bytes, file: BinaryIO) -> str | None:
        if module_name(path) is None:
            return None
        with reporting_os_errors(self.directory):
            return read_vermagic(path, file, self.directory)

    def _clone(self, source: int, target: int) -> bool:
        if not self._can_clone:
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._can_clone = False
        return self._can_clone

    def _write(self, target: int, content: bytes) -> None:
        view = memoryview(content)
        with reporting_os_errors(self.directory):
            while view:
                view = view[os.write(target, view) :]

    def _publish(self, descriptor: int, temporary: str, sha256: str, found: FoundFile) -> None:
        """Give a copy its name; mode and time are those of the first file with this content."""
        place = self._place(sha256)
        with reporting_os_errors(place):
            os.utime(descriptor, ns=(found.signature[2], found.signature[2]))
            os.fchmod(descriptor, found.mode)
            os.rename(temporary, place)


@contextmanager
def _new_file(directory: str) -> Iterator[tuple[int, str]]:
    """An open file and its temporary name, which is removed if the block fails."""
    temporary = f"{directory}/.{secrets.token_hex(8)}"
    with reporting_os_errors(directory):
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor, temporary
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _open_source(directory: Held, found: FoundFile) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(os.path.basename(found.path), flags, dir_fd=directory.fileno())
    except FileNotFoundError:
        raise changed(found.path) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise changed(found.path) from None
        raise InvalidArgument(
            f"cannot read {path_text(found.path)} of the tree: {error.strerror}",
            hint="register as a user who may read the whole tree, or remove the file",
        ) from error


def _hashed(
    source: int, write: Callable[[bytes], None] | None, found: FoundFile, stopped: Callable[[], bool]
) -> tuple[str, bytes]:
    """Hash what `source` holds, and write it if `write` is given; also returns its head. Raises if it has grown."""
    digest, total_bytes, head = hashlib.sha256(), 0, b""
    while total_bytes <= found.signature[1] and (chunk := os.pread(source, _CHUNK_BYTES, total_bytes)):
        if stopped():
            raise InterruptedError
        digest.update(chunk)
        if write is not None:
            write(chunk)
        head, total_bytes = head or chunk[:HEAD_BYTES], total_bytes + len(chunk)
    if total_bytes != found.signature[1]:
        raise changed(found.path)
    return digest.hexdigest(), head


def _reading(signature: Signature, read_at_ns: int, read: _Read, path: bytes) -> FileReading:
    if read.vermagic is not None:
        return FileReading(signature, read_at_ns, read.sha256, Role.MODULE, read.vermagic)
    role = Role.EXECUTABLE if is_program(read.head) else Role.PLAIN
    return FileReading(signature, read_at_ns, read.sha256, role, "")
