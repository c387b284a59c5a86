"""The registered artifacts: one JSON file, replaced whole under a lock."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import ArtifactNotFound, InvalidArgument, OperationFailed, meant
from reconciler.files.atomic import write_whole
from reconciler.files.locks import locked
from reconciler.files.plain import read_plain_file
from reconciler.model.base import Frozen
from reconciler.model.results import BuildArtifact

_PREFIX_MIN_LENGTH = 6


class _File(Frozen):
    """The registry as it is on disk."""

    version: int = 1
    artifacts: dict[str, BuildArtifact] = {}


LIMIT_BYTES = 32 * 1024**2
"""It is read as a whole for every tool; an artifact with all modules of a kernel takes half a megabyte of it."""


class ArtifactRegistry:
    """Reads need no lock, as the file is replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, BuildArtifact]:
        """Every artifact by id, in the order of registration."""
        try:
            return dict(_File.model_validate_json(read_plain_file(self._path)).artifacts)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise OperationFailed(
                f"the registry {self._path} cannot be read: {error}", hint="move it away and register again"
            ) from error

    def find(self, wanted: str) -> BuildArtifact:
        """The artifact with that id, or with the only id that starts with it (at least six characters).

        Raises `ArtifactNotFound` if there is none, and `InvalidArgument` if several ids start with it.
        """
        artifacts = self.all()
        matches = [each for each in artifacts if each == wanted]
        if not matches and len(wanted) >= _PREFIX_MIN_LENGTH:
            matches = [each for each in artifacts if each.startswith(wanted)]
        if not matches:
            raise ArtifactNotFound(
                f"no artifact {wanted!r} is registered", hint=meant(wanted, artifacts, "`artifact_list` lists all")
            )
        if len(matches) > 1:
            many = f"{len(matches)} artifacts have IDs that start with {wanted}"
            raise InvalidArgument(many, hint="give more of the ID")
        return artifacts[matches[0]]

    async def change(self, edit: Callable[[dict[str, BuildArtifact]], None]) -> None:
        """Apply `edit` to all artifacts and store the result."""
        async with locked(self._path.with_name(f"{self._path.name}.lock"), timeout_s=30.0):
            artifacts = self.all()
            edit(artifacts)
            kept = _File(artifacts=artifacts).model_dump(mode="json")
            content = (json.dumps(kept, indent=2) + "\n").encode()
            if len(content) > max(LIMIT_BYTES, self._size_bytes()):
                raise OperationFailed(
                    f"the registry {self._path} would be larger than {LIMIT_BYTES // 1024**2} MiB",
                    hint="remove artifacts that are no longer used: `artifact_remove`",
                )
            write_whole(self._path, content)

    def _size_bytes(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
