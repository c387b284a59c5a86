"""Changes to files that belong to users: shown first, kept in a journal with a copy, and undone byte for byte.

The journal is written before a file is changed, so that an interrupted change can be undone too. A file keeps its mode,
group and extended attributes; links stay, and what they lead to is changed; a file with several names keeps them.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from itertools import count
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reconciler.errors import Conflict, OperationFailed
from reconciler.files.atomic import fsync_path, reporting_os_errors
from reconciler.files.plain import read_plain_file
from reconciler.model.base import Frozen

LIMIT_BYTES = 64 << 20
"""Of a configuration file; clients keep histories in theirs."""

_JOURNAL = "changes.json"
_OWN_DIRECTORY = "vmcluster"
_NEW_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is to be written: its path, what it holds now (None: it does not exist), and what it is to hold."""

    path: Path
    before: bytes | None
    after: bytes

    @property
    def diff(self) -> str:
        """The difference, as a patch."""
        return content_difference(self.path, self.before or b"", self.after)


class ChangedFile(Frozen):
    """A file as it was before a change, and what was written to it."""

    path: Path
    link: str | None
    target: Path
    mode: int
    mtime_ns: int
    copy_name: str | None
    after_sha256: str
    made_directories: tuple[Path, ...] = ()


_Journal = TypeAdapter(tuple[ChangedFile, ...])


def current_content(path: Path) -> bytes | None:
    """What a file holds; None if there is none, also at the end of a link. Raises `OperationFailed`."""
    with reporting_os_errors(path):
        try:
            return read_plain_file(path, limit_bytes=LIMIT_BYTES)
        except FileNotFoundError:
            return None


def content_difference(path: Path, before: bytes, after: bytes) -> str:
    """The difference between two contents of a file, as a patch to look at: one line around each change, no tabs."""
    old, new = (of.decode(errors="replace").expandtabs(4).splitlines(keepends=True) for of in (before, after))
    lines = unified_diff(old, new, str(path), str(path), n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


class ChangeJournal:
    """The changes that were made, in a directory that only their owner may read. Blocking."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def is_readable(self) -> bool:
        """Whether the changes are this user's; those of root, for example, are not another user's to undo."""
        try:
            (self.directory / _JOURNAL).stat()
        except PermissionError:
            return False
        except OSError:
            pass
        return True

    def entries(self) -> tuple[ChangedFile, ...]:
        """All changes that are not undone, oldest first. Raises `OperationFailed` if they cannot be read."""
        content = current_content(self.directory / _JOURNAL)
        try:
            return _Journal.validate_json(content) if content is not None else ()
        except ValidationError as error:
            raise OperationFailed(f"{self.directory / _JOURNAL} is damaged: {error.errors()[0]['msg']}") from error

    def apply(self, change: FileChange) -> None:
        """Write a file, after noting how it was. Raises `Conflict` if it is no longer as it was shown."""
        path = change.path
        with reporting_os_errors(path):
            target = Path(os.path.realpath(path))
            if current_content(path) != change.before:
                raise Conflict(f"{path} has just been changed by another program", hint="run it again")
            self._note(change, target)
            _make_directories(target.parent)
            _write(target, change.after)

    def undo(self, entry: ChangedFile) -> None:
        """Restore a file, the newest that is not undone. Raises `Conflict`, with the difference, if it was changed."""
        with reporting_os_errors(entry.path):
            before = None if entry.copy_name is None else current_content(self.directory / entry.copy_name)
            if entry.copy_name is not None and before is None:
                raise OperationFailed(f"the copy of {entry.path} is gone: {self.directory / entry.copy_name}")
            now = current_content(entry.path)
            if now != before:
                kept = self.directory / entry.copy_name if entry.copy_name is not None else None
                _require_as_written(entry, now, before or b"", kept)
                _restore(entry, before)
            self._forget(entry)

    def _note(self, change: FileChange, target: Path) -> None:
        entries = self.entries()
        _make_directories(self.directory)
        copy_name = None if change.before is None else self._free_name(target.name)
        if copy_name is not None and change.before is not None:
            _write(self.directory / copy_name, change.before)
        status = target.stat() if change.before is not None else None
        entry = ChangedFile(
            path=change.path,
            link=_link_at(change.path),
            target=target,
            mode=stat.S_IMODE(status.st_mode) if status else _NEW_FILE_MODE,
            mtime_ns=status.st_mtime_ns if status else 0,
            copy_name=copy_name,
            after_sha256=_sha256_of(change.after),
            made_directories=tuple(_missing(target.parent)),
        )
        self._write([*entries, entry])

    def _free_name(self, name: str) -> str:
        numbered = (f"{number}-{name}" for number in count())
        return next(name for name in numbered if not (self.directory / name).exists())

    def _forget(self, entry: ChangedFile) -> None:
        left = [of for of in self.entries() if of != entry]
        self._write(left)
        if entry.copy_name is not None:
            (self.directory / entry.copy_name).unlink(missing_ok=True)
        if not left:
            (self.directory / _JOURNAL).unlink()
            with suppress(OSError):  # somebody has put something there
                self.directory.rmdir()
                if self.directory.parent.name == _OWN_DIRECTORY:
                    self.directory.parent.rmdir()

    def _write(self, entries: Sequence[ChangedFile]) -> None:
        _write(self.directory / _JOURNAL, _Journal.dump_json(tuple(entries), indent=2))


def _require_as_written(entry: ChangedFile, now: bytes | None, before: bytes, kept: Path | None) -> None:
    """Raise `Conflict` unless a file is as it was left, with the difference that undoing would make."""
    path = entry.path
    link = _link_at(path)
    if link != entry.link:
        raise Conflict(f"{path} was {_as_link(entry.link)}, and is {_as_link(link)} now", hint="put back what it was")
    if now is None or _sha256_of(now) != entry.after_sha256:
        told = content_difference(path, now or b"", before)
        raise Conflict(
            f"{path} was changed since; undoing would do this:\n{told}",
            hint="remove it yourself if you do not need it"
            if kept is None
            else f"remove the entry `vmcluster` from it yourself; the file as it was before is {kept}",
        )


def _link_at(path: Path) -> str | None:
    return str(path.readlink()) if path.is_symlink() else None


def _as_link(link: str | None) -> str:
    return "a file" if link is None else f"a link to {link}"


def _restore(entry: ChangedFile, before: bytes | None) -> None:
    if before is None:
        entry.target.unlink(missing_ok=True)
        for directory in reversed(entry.made_directories):
            with suppress(OSError):  # somebody has put something there
                directory.rmdir()
        return
    _write(entry.target, before)
    entry.target.chmod(entry.mode)
    os.utime(entry.target, ns=(entry.mtime_ns, entry.mtime_ns))


def _write(target: Path, content: bytes) -> None:
    """Write a file whole, with the mode, group and attributes of the one that it replaces.

    One with several names, or of another owner, is written in its place: its copy in the journal is on disk before.
    """
    status = target.stat() if target.exists() else None
    if status is not None and (status.st_nlink > 1 or status.st_uid != os.geteuid()):
        target.write_bytes(content)
        return
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    made = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if status is not None:
                _copy_owner_and_attributes(target, status, file.fileno())
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode) if status else _NEW_FILE_MODE)
            os.fsync(file.fileno())
        made.replace(target)
        fsync_path(target.parent)
    finally:
        made.unlink(missing_ok=True)


def _copy_owner_and_attributes(target: Path, status: os.stat_result, file: int) -> None:
    with suppress(PermissionError):
        os.fchown(file, -1, status.st_gid)
    for name in os.listxattr(target):
        with suppress(OSError):  # those of the system, which no user sets
            os.setxattr(file, name, os.getxattr(target, name))


def _missing(directory: Path) -> list[Path]:
    """The directories on the way that do not exist, from above."""
    above = [directory, *directory.parents]
    return [path for path in reversed(above) if not path.exists()]


def _make_directories(directory: Path) -> None:
    for path in _missing(directory):
        path.mkdir(mode=_DIRECTORY_MODE)


def _sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
