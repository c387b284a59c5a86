"""The store's files: each distinct content once, under its SHA-256, apart from every source.

A file system that can (btrfs, xfs) shares the blocks with the source (FICLONE, ioctl_ficlone(2)): the copy is made
before it is read, so that what is hashed cannot change meanwhile. Elsewhere a file is written while it is hashed.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from reconciler.artifacts.atomic import reported
from reconciler.artifacts.cache import Reading
from reconciler.artifacts.elf import HEAD_BYTES, is_program
from reconciler.artifacts.entries import Role, shown
from reconciler.artifacts.module_file import module_name, read_vermagic
from reconciler.artifacts.scan import FoundFile, Signature, changed, signature_of
from reconciler.errors import InvalidArgument

_FICLONE = 0x40049409  # linux/fs.h
_CHUNK_BYTES = 1024 * 1024
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}


class Objects:
    """The contents in one store directory; safe for many threads and processes, as a content is never changed."""

    def __init__(self, directory: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self.directory = directory / "objects"
        self.incoming = directory / "incoming"
        self._can_clone = True

    def path(self, sha256: str) -> Path:
        """Where a content is, or would be."""
        return self.directory / sha256[:2] / sha256[2:]

    def prepare(self) -> None:
        """Make the directories."""
        with reported(self.directory):
            for each in (self.incoming, *(self.directory / f"{byte:02x}" for byte in range(256))):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take_in(self, root: bytes, found: FoundFile, *, stopped: Callable[[], bool]) -> Reading:
        """Read one file of a tree, with a copy of it kept here when this returns.

        Raises `Conflict` where the file is not what was found, or changes while it is read, and `InvalidArgument`
        where it cannot be read.
        """
        source = _open_source(root, found)
        try:
            if signature_of(os.fstat(source)) != found.signature:
                raise changed(found.path)
            reading = self._copy(source, found, stopped)
            if signature_of(os.fstat(source)) != found.signature:
                raise changed(found.path)
            return reading
        finally:
            os.close(source)

    def delete_all_but(self, needed: Container[str]) -> int:
        """Delete contents that are not needed; how many bytes they had. Nobody may be taking anything in."""
        freed_bytes = 0
        for path in self.directory.glob("??/*"):
            if path.parent.name + path.name not in needed:
                freed_bytes += path.stat().st_size
                path.unlink()
        return freed_bytes

    def _copy(self, source: int, found: FoundFile, stopped: Callable[[], bool]) -> Reading:
        read_at_ns = self._clock_ns()
        size_bytes = found.signature[1]
        if size_bytes <= _CHUNK_BYTES and not self._can_clone:
            content = os.read(source, _CHUNK_BYTES + 1)
            if len(content) != size_bytes:
                raise changed(found.path)
            return self._keep_small(content, found, read_at_ns)
        with reported(self.incoming):
            descriptor, temporary = tempfile.mkstemp(dir=self.incoming)
        try:
            cloned = self._clone(source, descriptor)
            read = _hashed(descriptor if cloned else source, None if cloned else descriptor, found, stopped)
            self._publish(descriptor, temporary, read.sha256, found)
        finally:
            os.close(descriptor)
            Path(temporary).unlink(missing_ok=True)
        return _reading(found.signature, read_at_ns, read, found.path)

    def _keep_small(self, content: bytes, found: FoundFile, read_at_ns: int) -> Reading:
        read = _Read(hashlib.sha256(content).hexdigest(), content[:HEAD_BYTES], _module_vermagic(found.path, content))
        if not self.path(read.sha256).exists():
            with reported(self.incoming):
                descriptor, temporary = tempfile.mkstemp(dir=self.incoming)
                try:
                    os.write(descriptor, content)
                    self._publish(descriptor, temporary, read.sha256, found)
                finally:
                    os.close(descriptor)
                    Path(temporary).unlink(missing_ok=True)
        return _reading(found.signature, read_at_ns, read, found.path)

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

    def _publish(self, descriptor: int, temporary: str, sha256: str, found: FoundFile) -> None:
        """Give a copy its name, unless the content is there; mode and time are those of the first file that had it."""
        path = self.path(sha256)
        with reported(path):
            if not path.exists():
                os.utime(descriptor, ns=(found.signature[2], found.signature[2]))
                os.fchmod(descriptor, found.mode)
                os.rename(temporary, path)


@dataclass(frozen=True, slots=True)
class _Read:
    sha256: str
    head: bytes
    vermagic: str | None
    """None for what is no module."""


def _open_source(root: bytes, found: FoundFile) -> int:
    try:
        return os.open(os.path.join(root, found.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise changed(found.path) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise changed(found.path) from None
        raise InvalidArgument(
            f"cannot read {shown(found.path)} of the tree: {error.strerror}",
            hint="register as a user who may read the whole tree, or take the file away",
        ) from error


def _hashed(source: int, target: int | None, found: FoundFile, stopped: Callable[[], bool]) -> _Read:
    """Hash what `source` holds, writing it to `target` where there is one."""
    digest, total_bytes, head = hashlib.sha256(), 0, b""
    kept: list[bytes] | None = [] if module_name(found.path) else None
    while chunk := os.pread(source, _CHUNK_BYTES, total_bytes):
        if stopped():
            raise InterruptedError
        digest.update(chunk)
        if target is not None:
            _write_all(target, chunk)
        if kept is not None:
            kept.append(chunk)
        head, total_bytes = head or chunk[:HEAD_BYTES], total_bytes + len(chunk)
    if total_bytes != found.signature[1]:
        raise changed(found.path)
    return _Read(digest.hexdigest(), head, None if kept is None else _module_vermagic(found.path, b"".join(kept)))


def _write_all(target: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(target, view) :]


def _module_vermagic(path: bytes, content: bytes) -> str | None:
    return read_vermagic(path, content) if module_name(path) else None


def _reading(signature: Signature, read_at_ns: int, read: _Read, path: bytes) -> Reading:
    if read.vermagic is not None:
        return Reading(signature, read_at_ns, read.sha256, Role.MODULE, read.vermagic)
    role = Role.EXECUTABLE if is_program(read.head) else Role.PLAIN
    return Reading(signature, read_at_ns, read.sha256, role, "")
