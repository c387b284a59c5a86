"""What was pulled: verified, converted, and put in its place with a description of where it came from."""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from reconciler.errors import Conflict, HostCommandFailed, OperationFailed
from reconciler.files.atomic import create_whole, fsync_path, reporting_os_errors, write_whole
from reconciler.files.plain import read_plain_file
from reconciler.files.space import require_space
from reconciler.image.checksums import Checksum
from reconciler.image.published import (
    DESCRIPTION_LIMIT_BYTES,
    FileFacts,
    ImageFiles,
    is_unchanged,
    read_description,
)
from reconciler.model.base import Frozen
from reconciler.model.named_image import ImageOrigin
from reconciler.process import run
from reconciler.programs import require_program

RAW = "raw"
CONVERTIBLE = frozenset({RAW, "vdi", "vhdx", "vpc"})
"""The formats that are one file each: an image in another could name files of this host, and have them read."""

_MODE = 0o644
_CONVERT_TIMEOUT_S = 3600.0
_CHUNK_BYTES = 1 << 20
_BLOCKS_PER_TABLE = 8
"""A block of 512 KiB, the smallest that is usual, may need a table of 64 KiB for itself."""
_OTHER_TABLES_BYTES = 16 << 20
"""More than what maps the largest disk of these formats, 64 TiB."""
_TOO_LARGE = "File too large"  # EFBIG: QEMU's threads block SIGXFSZ, setrlimit(2)


class PulledDescription(Frozen):
    """The content of the `.json` file beside an image that was pulled."""

    origin: ImageOrigin
    disk: FileFacts


def pull_description(disk: Path) -> PulledDescription | None:
    """The description of an image that was pulled; None if there is none. Blocking."""
    try:
        text = read_plain_file(ImageFiles.beside(disk).description, limit_bytes=DESCRIPTION_LIMIT_BYTES)
        return PulledDescription.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def origin_of(disk: Path) -> ImageOrigin | None:
    """Where an image was pulled from; None if it was not, or is no longer what was pulled. Blocking."""
    said = pull_description(disk)
    return said.origin if said is not None and is_unchanged(disk, said.disk) else None


def refuse_foreign_description(disk: Path) -> None:
    """Raise `Conflict` if a file that vmcluster did not write has the place of the description. Blocking."""
    files = ImageFiles.beside(disk)
    if not os.path.lexists(files.description):
        return
    if pull_description(disk) is None and read_description(files) is None:
        raise _foreign(files.description)


def _foreign(description: Path) -> Conflict:
    return Conflict(
        f"{description} was not created by vmcluster",
        hint="give another --name, move the file away, or use --force to replace it",
    )


def verify(part: Path, expected: Checksum | None) -> Mapping[str, str]:
    """The digests of a file, by algorithm: SHA-256 and the expected one. Blocking.

    Raises `WrongChecksum` if they are not as expected.
    """
    found = _digests(part, {"sha256", *([expected.algorithm] if expected else [])})
    if expected is not None and found[expected.algorithm] != expected.digest:
        raise WrongChecksum(f"what was downloaded has the {expected.algorithm} {found[expected.algorithm]}", expected)
    return found


class WrongChecksum(OperationFailed):
    """What was downloaded is not what was published."""

    def __init__(self, message: str, expected: Checksum) -> None:
        super().__init__(
            f"{message}, and should have {expected.digest}",
            hint="it was removed: try again later; if that does not help, somebody has changed it on the way",
        )


async def convert(part: Path, found: str, target: Path) -> None:
    """Make the same image as qcow2, which is hardly larger if each block is there once. Raises `InflatedImage` if not.

    `qemu-img measure` cannot tell: for vhdx it always says that all of the disk is needed.
    """
    has_bytes = (await asyncio.to_thread(part.stat)).st_size
    most_bytes = has_bytes + has_bytes // _BLOCKS_PER_TABLE + _OTHER_TABLES_BYTES
    require_space(part.parent, most_bytes)
    limits = ["prlimit", f"--fsize={most_bytes}", "--core=0"]
    argv = [require_program("qemu-img"), "convert", "-f", found, "-O", "qcow2", str(part), str(target)]
    try:
        await run([*limits, *argv], timeout_s=_CONVERT_TIMEOUT_S, env={"LC_ALL": "C"})
    except HostCommandFailed as error:
        if _TOO_LARGE in error.message:
            maps = f"it maps more than {most_bytes >> 20} MiB"
            raise InflatedImage(f"{maps} to the {has_bytes >> 20} MiB that it has") from error
        raise


class InflatedImage(OperationFailed):
    """An image that is small only because it names the same data many times, and would fill the disk."""


def describe_pulled(made: Path, origin: ImageOrigin, sha256: str) -> PulledDescription:
    """Have a pulled image on disk, readable for QEMU; its description. Blocking, for as long as the disk takes."""
    with reporting_os_errors(made):
        made.chmod(_MODE)
        fsync_path(made)
        status = made.stat()
    facts = FileFacts(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=sha256)
    return PulledDescription(origin=origin, disk=facts)


def put_in_place(made: Path, disk: Path, description: PulledDescription, *, replace: bool) -> None:
    """Give a finished image its name; without `replace` only if nothing has it, nor the description's. Blocking.

    Raises `Conflict`. The description comes first: after a kill it does not match what is there, or nothing is.
    """
    said = f"{description.model_dump_json(indent=2)}\n".encode()
    with reporting_os_errors(disk):
        if replace:
            write_whole(ImageFiles.beside(disk).description, said, mode=_MODE)
            made.replace(disk)
        else:
            _put_in_free_place(made, disk, said)
        fsync_path(disk.parent)


def _put_in_free_place(made: Path, disk: Path, said: bytes) -> None:
    description = ImageFiles.beside(disk).description
    if os.path.lexists(disk):
        raise Conflict(f"{disk} has been created meanwhile")
    refuse_foreign_description(disk)
    description.unlink(missing_ok=True)
    if not create_whole(description, said, mode=_MODE):
        raise _foreign(description)
    try:
        os.link(made, disk)
    except FileExistsError:
        raise Conflict(f"{disk} has been created meanwhile") from None
    made.unlink()


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    """The digests of a file, which is read once."""
    hashes = {name: hashlib.new(name) for name in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            for one in hashes.values():
                one.update(chunk)
    return {name: one.hexdigest() for name, one in hashes.items()}
