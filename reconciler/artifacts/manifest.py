"""The list of everything in a registered tree, stored beside the contents."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.artifacts.tree_entries import EntryKind, Role, TreeEntry
from reconciler.errors import OperationFailed
from reconciler.files.atomic import write_parts
from reconciler.files.plain import read_plain_file

_VERSION = 1


def manifest_path(store_dir: Path, artifact_id: str) -> Path:
    """Where the manifest of an artifact is; if it exists, so do all of the artifact's contents."""
    return store_dir / "manifests" / f"{artifact_id}.json"


def write_manifest(path: Path, entries: Sequence[TreeEntry]) -> None:
    """Write the entries, whole or not at all; each row starts with the fields that every kind has."""
    write_parts(path, _rendered(entries))


def _rendered(entries: Sequence[TreeEntry]) -> Iterator[bytes]:
    yield b'{"version":%d,"entries":[' % _VERSION
    for number, entry in enumerate(entries):
        row = [
            os.fsdecode(entry.path),
            entry.kind.value,
            entry.mode,
            os.fsdecode(entry.content),
            entry.size_bytes,
            entry.mtime_ns,
            entry.role.value,
            entry.vermagic,
        ]
        yield b"," * (number > 0) + json.dumps(row, separators=(",", ":")).encode()
    yield b"]}"


def read_manifest(path: Path) -> tuple[TreeEntry, ...]:
    """The entries of a registered tree. Raises `OperationFailed` if the manifest is missing or damaged."""
    try:
        kept = json.loads(read_plain_file(path))
        if kept["version"] != _VERSION:
            raise ValueError(f"version {kept['version']}")
        return tuple(
            TreeEntry(
                os.fsencode(name), EntryKind(kind), mode, os.fsencode(content), size_bytes, mtime_ns, Role(role), magic
            )
            for name, kind, mode, content, size_bytes, mtime_ns, role, magic in kept["entries"]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OperationFailed(
            f"the manifest {path} cannot be read: {error}", hint="register the tree again, which rewrites it"
        ) from error
