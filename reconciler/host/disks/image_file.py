"""Disk images as files on this host: what their headers say, and whether they are unchanged."""

import os
from pathlib import Path

from reconciler.errors import ImageNotFound
from reconciler.host.disks.given_format import noted_format
from reconciler.host.disks.qcow2 import ImageFacts, header_span, parse_header, raw_facts
from reconciler.host.file_ends import NoFile, ends_of, open_file
from reconciler.host.magic import RAW

GONE = "gone"
"""The identity of a file that does not exist."""


def read_image_facts(path: Path | str, used_as: str | None = None) -> ImageFacts:
    """The facts of an image file, without qemu-img and without following its backing file.

    A file that is, or was, `used_as` raw is not parsed: guests write to it. Raises `ImageNotFound` if it is missing,
    unreadable, not a file, or has a damaged header.
    """
    try:
        with open_file(path) as file:
            if RAW in (used_as, noted_format(file)):
                return raw_facts(os.fstat(file).st_size)
            ends = ends_of(file, header_span)
    except OSError as error:
        raise ImageNotFound(f"cannot read the disk image {path}: {error.strerror}", hint=_read_remedy(error)) from error
    except NoFile as error:
        raise ImageNotFound(f"the disk image {path} is {error}, not a file", hint=_copy_remedy(error, path)) from error
    try:
        return parse_header(ends.head, ends.size_bytes, ends.ending)
    except ValueError as error:
        raise ImageNotFound(
            f"the disk image {path} is damaged: {error}", hint=f"`qemu-img check {path}` says more"
        ) from error


def image_identity(path: Path) -> str:
    """Size and modification time of a file: kept by a faithful copy, changed by every writer; or `gone`.

    Raises `OSError` if it cannot be examined.
    """
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    return f"{facts.st_size}:{facts.st_mtime_ns}"


def _copy_remedy(kind: NoFile, path: Path | str) -> str:
    if kind.is_block_device:
        return f"copy it into one: `qemu-img convert -O qcow2 {path} NEW.qcow2`"
    return "name the image file"


def _read_remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "correct the path, or create the image: `image_build`"
    return "correct the path, or let this user read it"
