"""What disk images contain, as a digest: computed once for each file, and remembered while the file is unchanged."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reconciler.files.atomic import write_whole
from reconciler.files.file_birth import birth_of
from reconciler.host.disks.image_file import image_identity
from reconciler.model.host import HostImage
from reconciler.model.names import image_name

MEMORY_FILE = "image_digests.json"
_SUFFIXES = frozenset({".qcow2", ".img", ".raw"})


class ImageDigests:
    """The digests of files on this host, remembered in `state_dir`; blocking."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / MEMORY_FILE
        self._known: dict[str, list[str]] | None = None

    def digest(self, path: Path) -> str:
        """`sha256:` and the digest of a file's content. Raises `OSError`."""
        known, state = self._remembered(), _state(path)
        if (found := known.get(str(path))) and found[0] == state:
            return found[1]
        digest = f"sha256:{_sha256(path)}"
        known[str(path)] = [state, digest]
        write_whole(self._file, json.dumps(known).encode())
        return digest

    def images(self, directory: Path, files: Iterable[Path]) -> tuple[HostImage, ...]:
        """The images in a directory, and those of the files that exist. What cannot be read is left out."""
        inside = (path for path in _files_in(directory) if path.suffix in _SUFFIXES)
        found = []
        for path in sorted({*inside, *files}):
            with suppress(OSError):
                name = image_name(path) if path.parent == directory else None
                found.append(HostImage(path=path, name=name, digest=self.digest(path), size_bytes=path.stat().st_size))
        return tuple(found)

    def _remembered(self) -> dict[str, list[str]]:
        if self._known is None:
            try:
                self._known = dict(json.loads(self._file.read_bytes()))
            except (OSError, ValueError, TypeError, RecursionError):
                self._known = {}
        return self._known


def _files_in(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.is_file()]
    except OSError:
        return []


def _state(path: Path) -> str:
    """Identifies a state of the file: every write changes it."""
    return f"{birth_of(path.resolve()).inode} {image_identity(path)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
