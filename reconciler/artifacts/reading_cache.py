"""The state of files when they were last read: an unchanged tree is registered without reading it again."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.artifacts.scan import Signature
from reconciler.artifacts.tree_entries import Role
from reconciler.files.atomic import write_parts
from reconciler.files.plain import read_plain_file

_VERSION = 1
_SETTLED_NS = 2_000_000_000
"""Two changes within one tick of a file system's clock leave the same times; no clock we know ticks more slowly."""


@dataclass(frozen=True, slots=True)
class FileReading:
    """The result of reading a file, and when it was read (`time.time_ns`)."""

    signature: Signature
    read_at_ns: int
    sha256: str
    role: Role
    vermagic: str

    @property
    def trusted(self) -> bool:
        """Whether a later change of the file must have changed its signature (if not, git calls it racy)."""
        return max(self.signature[2:]) < self.read_at_ns - _SETTLED_NS


Readings = dict[bytes, FileReading]

_ROLES = {role.value: role for role in Role}
"""Ten times as fast as calling the enumeration, and a large tree has a hundred thousand files."""


def load_readings(path: Path) -> Readings:
    """The stored readings by path; none if the file is missing or damaged: files are read then."""
    try:
        kept = json.loads(read_plain_file(path))
        if kept["version"] != _VERSION:
            return {}
        return {os.fsencode(name): _reading(row) for name, row in kept["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def save_readings(path: Path, readings: Mapping[bytes, FileReading]) -> None:
    """Store those readings that can be trusted."""
    write_parts(path, _rendered(readings))


def _rendered(readings: Mapping[bytes, FileReading]) -> Iterator[bytes]:
    yield b'{"version":%d,"files":{' % _VERSION
    separator = ""
    for name, reading in readings.items():
        if reading.trusted:
            yield f"{separator}{json.dumps(os.fsdecode(name))}:{json.dumps(_row(reading))}".encode()
            separator = ","
    yield b"}}"


def _row(reading: FileReading) -> list[object]:
    return [*reading.signature, reading.read_at_ns, reading.sha256, reading.role.value, reading.vermagic]


def _reading(row: list[Any]) -> FileReading:
    inode, size_bytes, mtime_ns, ctime_ns, read_at_ns, sha256, role, vermagic = row
    return FileReading((inode, size_bytes, mtime_ns, ctime_ns), read_at_ns, sha256, _ROLES[role], vermagic)
