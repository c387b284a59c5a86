"""The entries of a build tree, and the tree's identity; pure."""

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum


class EntryKind(StrEnum):
    """The value is part of the identity."""

    DIRECTORY = "d"
    FILE = "f"
    LINK = "l"


class Role(StrEnum):
    """The purpose of a file's contents."""

    PLAIN = ""
    EXECUTABLE = "executable"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One name in a tree. `path` is relative, without a leading `./`, in the bytes of the file system.

    `mode` has only the permission bits. `content` is the SHA-256 of a file in hexadecimal, the target of a link, and
    empty for a directory. The fields after it are not part of the identity.
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
    """SHA-256 over the entries sorted by path: path, kind, mode, and contents or link target.

    No field can contain a NUL byte, so fields that end with one can be read in only one way.
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=_path_of):
        digest.update(b"%b\0%b\0%o\0%b\0" % (entry.path, entry.kind.value.encode(), entry.mode, entry.content))
    return digest.hexdigest()


def path_text(path: bytes) -> str:
    """A path as text, with bytes that are not UTF-8 escaped, so that it can be printed and sent as JSON."""
    return path.decode(errors="backslashreplace")


def _path_of(entry: TreeEntry) -> bytes:
    return entry.path


@dataclass(frozen=True, slots=True)
class TreeDifference:
    """Paths, sorted."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def differences(a: Sequence[TreeEntry], b: Sequence[TreeEntry], role: Role) -> TreeDifference:
    """The paths with `role` in either tree that are not the same in both, from `a` to `b`."""
    were = {entry.path: entry for entry in a}
    are = {entry.path: entry for entry in b}
    named = sorted({entry.path for entry in (*a, *b) if entry.role is role})
    return TreeDifference(
        changed=tuple(
            path_text(path) for path in named if path in were and path in are and _differ(were[path], are[path])
        ),
        added=tuple(path_text(path) for path in named if path not in were),
        removed=tuple(path_text(path) for path in named if path not in are),
    )


def sizes(a: Sequence[TreeEntry], b: Sequence[TreeEntry], paths: Set[str]) -> dict[str, tuple[int | None, int | None]]:
    """By path, sorted: its size in each tree; None where it is not."""
    in_a, in_b = ({path_text(entry.path): entry.size_bytes for entry in tree} for tree in (a, b))
    return {path: (in_a.get(path), in_b.get(path)) for path in sorted(paths)}


def _differ(a: TreeEntry, b: TreeEntry) -> bool:
    return (a.kind, a.mode, a.content) != (b.kind, b.mode, b.content)
