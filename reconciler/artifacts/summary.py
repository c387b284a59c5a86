"""What is known about a tree as a whole, and storing it: if nothing changed, one scan recalls all of it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from reconciler.artifacts import facts
from reconciler.artifacts.scan import Exclusion
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry, path_text
from reconciler.files.atomic import write_whole
from reconciler.files.plain import read_plain_file
from reconciler.model.base import Frozen
from reconciler.model.results import ExcludedPath

_VERSION = 1


class TreeSummary(Frozen):
    """What the names and contents of a tree tell; the fields are those of `BuildArtifact`."""

    artifact_id: str
    kernel_version: str | None
    modules: tuple[str, ...]
    userspace_bins: tuple[str, ...]
    test_framework_path: str | None
    build_timestamp: datetime
    files: int
    size_bytes: int
    excluded: tuple[ExcludedPath, ...]


class _Kept(Frozen):
    """The file on disk."""

    version: int
    fingerprint: str
    summary: TreeSummary


def summarise(
    artifact_id: str, entries: Sequence[TreeEntry], excluded: Sequence[Exclusion], release_file: bytes | None
) -> TreeSummary:
    """The summary of a tree; `release_file` is the beginning of the file that names its kernel version."""
    return TreeSummary(
        artifact_id=artifact_id,
        kernel_version=facts.kernel_version(entries, release_file),
        modules=tuple(path_text(entry.path) for entry in facts.modules(entries)),
        userspace_bins=tuple(path_text(entry.path) for entry in facts.programs(entries)),
        test_framework_path=facts.test_directory(entries),
        build_timestamp=_built_at(entries),
        files=sum(entry.kind is EntryKind.FILE for entry in entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        excluded=_listed(excluded),
    )


def load_summary(path: Path, fingerprint: str) -> TreeSummary | None:
    """The stored summary of a tree with this fingerprint; None if it differs, or the file is damaged."""
    try:
        kept = _Kept.model_validate_json(read_plain_file(path))
    except (OSError, ValidationError):
        return None
    return kept.summary if (kept.version, kept.fingerprint) == (_VERSION, fingerprint) else None


def save_summary(path: Path, fingerprint: str, summary: TreeSummary) -> None:
    """Store the summary for the next time."""
    kept = _Kept(version=_VERSION, fingerprint=fingerprint, summary=summary)
    write_whole(path, json.dumps(kept.model_dump(mode="json")).encode())


def _listed(excluded: Sequence[Exclusion]) -> tuple[ExcludedPath, ...]:
    ordered = sorted(excluded, key=lambda each: each.path)
    return tuple(ExcludedPath(path=path_text(each.path), reason=each.reason) for each in ordered)


def _built_at(entries: Sequence[TreeEntry]) -> datetime:
    """When the newest file was written."""
    newest_ns = max((entry.mtime_ns for entry in entries), default=0)
    return datetime.fromtimestamp(newest_ns // 1_000_000_000, UTC)
