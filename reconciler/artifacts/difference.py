"""The difference between two trees; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.artifacts.tree_entries import Role, TreeEntry, path_text


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


def _differ(a: TreeEntry, b: TreeEntry) -> bool:
    return (a.kind, a.mode, a.content) != (b.kind, b.mode, b.content)
