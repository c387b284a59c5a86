"""Disk images as files on this host: what one says of itself, and whether it is still the same."""

import os
import stat
from pathlib import Path

from reconciler.errors import ImageNotFound
from reconciler.host.disks.qcow2 import ImageFacts, header_span, parse_header

_FIRST_READ_BYTES = 4096


def read_image_facts(path: Path | str) -> ImageFacts:
    """The facts of an image file or block device, without qemu-img and without following its backing file.

    Raises `ImageNotFound` where it is missing, unreadable, no file, or has a damaged header.
    """
    try:
        head, size_bytes = _read_head(path)
    except OSError as error:
        raise ImageNotFound(f"cannot read the disk image {path}: {error.strerror}", hint=_read_remedy(error)) from error
    try:
        return parse_header(head, size_bytes)
    except ValueError as error:
        raise ImageNotFound(
            f"the disk image {path} is damaged: {error}", hint=f"`qemu-img check {path}` says more"
        ) from error


def image_identity(path: Path) -> str:
    """Size and time of change of a file: kept by a faithful copy, changed by whoever writes to it; or `gone`.

    Raises `OSError` where it cannot be looked at.
    """
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    return f"{facts.st_size}:{facts.st_mtime_ns}"


def _read_head(path: Path | str) -> tuple[bytes, int]:
    # O_NONBLOCK: opening a FIFO must not wait for its writer.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        kind = os.fstat(file).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
            raise OSError(0, "it is neither a file nor a block device")
        head = os.pread(file, _FIRST_READ_BYTES, 0)
        span = header_span(head)
        if span > len(head):
            head = os.pread(file, span, 0)
        return head, os.lseek(file, 0, os.SEEK_END)
    finally:
        os.close(file)


def _read_remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "correct the path, or make the image: `vmcluster image build`"
    return "correct the path, or let this user read it"
