"""What a build tree consists of, and its identity; pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class EntryKind(StrEnum):
    """The value is part of the identity."""

    DIRECTORY = "d"
    FILE = "f"
    LINK = "l"


class Role(StrEnum):
    """What a file's content is to us."""

    PLAIN = ""
    EXECUTABLE = "executable"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name in a tree. `path` is relative, without a leading `./`, in the bytes of the file system.

    `mode` has the permission bits only. `content` is the SHA-256 of a file in hexadecimal, the target of a link, and
    empty for a directory. What follows it is no part of the identity.
    """

    path: bytes
    kind: EntryKind
    mode: int
    content: bytes = b""
    size_bytes: int = 0
    mtime_ns: int = 0
    role: Role = Role.PLAIN
    vermagic: str = ""


def tree_id(entries: Iterable[TreeEntry]) -> str:
    """SHA-256 over the entries in the order of their paths: path, kind, mode, and content or link target.

    No field can hold a NUL byte, so fields that end with one can be read in one way only.
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=_path_of):
        digest.update(b"%b\0%b\0%o\0%b\0" % (entry.path, entry.kind.value.encode(), entry.mode, entry.content))
    return digest.hexdigest()


def shown(path: bytes) -> str:
    """A path as text: what is not UTF-8 is escaped, so that the text can be printed and sent as JSON."""
    return path.decode(errors="backslashreplace")


def _path_of(entry: TreeEntry) -> bytes:
    return entry.path
