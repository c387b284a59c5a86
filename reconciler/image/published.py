"""A finished image: four files under one stem, and how they get to their place."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reconciler.errors import Conflict, InvalidArgument
from reconciler.files.atomic import fsync_path
from reconciler.files.plain import read_plain_file

DESCRIPTION_LIMIT_BYTES = 64 * 1024
"""Several times what any has; the owner of an image may have put anything beside it."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Where the parts of one image are."""

    disk: Path
    kernel: Path
    initrd: Path
    description: Path

    @classmethod
    def beside(cls, disk: Path) -> "ImageFiles":
        """The files that belong to `disk`: the same stem with other suffixes."""
        return cls(disk, disk.with_suffix(".vmlinuz"), disk.with_suffix(".initrd"), disk.with_suffix(".json"))

    def parts(self) -> Mapping[str, Path]:
        """The described files by role."""
        return {"disk": self.disk, "kernel": self.kernel, "initrd": self.initrd}


class FileFacts(BaseModel):
    """The state of a file when it was described; the time is a cheap check that it is unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int
    mtime_ns: int
    sha256: str


class ImageDescription(BaseModel):
    """The content of the `.json` file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe_digest: str
    kernel_version: str
    cmdline: str
    """For `boot` in a topology, with `kernel` and `initrd`."""

    waits: bool = False
    """Its first stage waits for an identity where the seed says so (`root/README.md`): templates can be made of it."""

    files: Mapping[str, FileFacts]


def describe(files: ImageFiles, recipe_digest: str, kernel_version: str, cmdline: str) -> None:
    """Write the description of complete files."""
    facts = {role: facts_of(path) for role, path in files.parts().items()}
    said = ImageDescription(
        recipe_digest=recipe_digest, kernel_version=kernel_version, cmdline=cmdline, waits=True, files=facts
    )
    files.description.write_text(said.model_dump_json(indent=2) + "\n")


def read_description(files: ImageFiles) -> ImageDescription | None:
    """The description of an image; None if it is missing or unreadable."""
    try:
        text = read_plain_file(files.description, limit_bytes=DESCRIPTION_LIMIT_BYTES)
        return ImageDescription.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def waits_for_identity(disk: Path) -> bool:
    """Whether the image at `disk` is unchanged, one that waits for its identity where its seed says so."""
    files = ImageFiles.beside(disk)
    said = read_description(files)
    return said is not None and said.waits and is_unchanged(disk, said.files.get("disk"))


def is_current(files: ImageFiles, recipe_digest: str) -> bool:
    """Whether all files are unchanged and were built from that recipe."""
    said = read_description(files)
    if said is None or said.recipe_digest != recipe_digest:
        return False
    return all(is_unchanged(path, said.files.get(role)) for role, path in files.parts().items())


def refuse_foreign(files: ImageFiles) -> None:
    """Raise `Conflict` if there is a file that was not built by vmcluster."""
    if read_description(files) is not None:
        return
    for path in (*files.parts().values(), files.description):
        if path.exists():
            raise Conflict(
                f"{path} was not created by vmcluster",
                hint="give another path, move the file away, or use --force to replace it",
            )


def require_files(files: ImageFiles) -> None:
    """Raise `InvalidArgument` if there is something that a file cannot replace, such as a device or a directory."""
    for path in (*files.parts().values(), files.description):
        if path.exists() and not path.is_file():
            raise InvalidArgument(
                f"{path} exists and is not a regular file, so it cannot be replaced by an image",
                hint="give the path of the image file, such as /var/lib/vmcluster/images/mine.qcow2",
            )


def stage_image(made: ImageFiles, files: ImageFiles) -> None:
    """Copy `made` beside its place, with times; what a killed build left there is replaced.

    The place may be in a directory such as /tmp, and no link that others put there is written through.
    """
    files.disk.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for source, target in zip(_in_order(made), _in_order(files), strict=True):
        second = _second_name(target)
        second.unlink(missing_ok=True)
        with source.open("rb") as old, second.open("xb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            shutil.copystat(source, second, follow_symlinks=False)
            os.fchmod(new.fileno(), 0o644)
            os.fsync(new.fileno())


def publish_staged(files: ImageFiles) -> None:
    """Give what was staged its names.

    The description comes first: after a kill it marks the place as ours and does not match what is there.
    """
    for target in _in_order(files):
        _second_name(target).rename(target)
        fsync_path(target.parent)


def discard_staged(files: ImageFiles) -> None:
    """Remove what was staged and not published."""
    for target in _in_order(files):
        _second_name(target).unlink(missing_ok=True)


def _in_order(files: ImageFiles) -> tuple[Path, ...]:
    return files.description, *files.parts().values()


def _second_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def facts_of(path: Path) -> FileFacts:
    """The present state of a file, which is read as a whole."""
    status = path.stat()
    return FileFacts(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=_sha256(path))


def is_unchanged(path: Path, facts: FileFacts | None) -> bool:
    """Whether a file is what it was; read only if its size is the same and its time is not."""
    if facts is None or not path.is_file():
        return False
    status = path.stat()
    if status.st_size != facts.size_bytes:
        return False
    return status.st_mtime_ns == facts.mtime_ns or is_intact(path, facts)


def is_intact(path: Path, facts: FileFacts) -> bool:
    """Whether the content of a file is what it was, by reading it."""
    return path.is_file() and _sha256(path) == facts.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
