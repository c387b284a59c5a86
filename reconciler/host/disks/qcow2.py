"""What a disk image says of itself: format, virtual size and backing file, from its first bytes.

The layout is QEMU's `docs/interop/qcow2.txt`: all integers big-endian; a header of 72 bytes in version 2, and
of `header_length` bytes in version 3; then extensions of (type, length, data padded to 8 bytes) up to the
backing file's name, which ends within the first cluster.
"""

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import ImageNotFound

QCOW2 = "qcow2"
RAW = "raw"

_QCOW_MAGIC = b"QFI\xfb"
_FIXED_PART = struct.Struct(">4sIQIIQ")  # magic, version, backing offset, backing length, cluster bits, size
_V2_LENGTH = 72
_V3_LENGTH_FIELD = struct.Struct(">100xI")
_EXTENSION = struct.Struct(">II")
_END_OF_EXTENSIONS = 0
_BACKING_FORMAT = 0xE2792ACA
_BACKING_NAME_MAX_BYTES = 1023
_CLUSTER_BITS = range(9, 22)

_FIRST_READ_BYTES = 4096
_OTHER_FORMATS = (
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0, b"QED\0", "qed"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
)
"""Offset, magic and name of what must not pass for a raw disk; as QEMU's `block/*.c` probe them."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says; `size_bytes` is the size that a guest sees, and the file's for other formats.

    `format` is `qcow2`, `raw`, or the name of a format that we recognise only to refuse it. `backing` is the name
    as it is written in the header.
    """

    format: str
    size_bytes: int
    backing: str | None = None
    backing_format: str | None = None


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


def parse_header(head: bytes, file_size_bytes: int) -> ImageFacts:
    """The facts in the first `header_span(head)` bytes of an image.

    Raises `ValueError` where they contradict themselves.
    """
    if not head.startswith(_QCOW_MAGIC):
        return ImageFacts(_format_by_magic(head), file_size_bytes)
    version, backing_offset, backing_length, cluster_bits, size_bytes = _fixed_part(head)
    if version == 1:
        return ImageFacts("qcow", file_size_bytes)
    if version not in {2, 3}:
        raise ValueError(f"qcow2 version {version} is unknown")
    if cluster_bits not in _CLUSTER_BITS:
        raise ValueError(f"2^{cluster_bits} bytes is no size for a cluster")
    if backing_offset == 0:
        return ImageFacts(QCOW2, size_bytes)
    backing = _backing_name(head, backing_offset, backing_length)
    return ImageFacts(QCOW2, size_bytes, backing, _backing_format(head, _header_length(head, version), backing_offset))


def header_span(head: bytes) -> int:
    """How many of an image's first bytes `parse_header` needs, as far as `head` can tell."""
    if not head.startswith(_QCOW_MAGIC) or len(head) < _V2_LENGTH:
        return len(head)
    _, backing_offset, backing_length, cluster_bits, _ = _fixed_part(head)
    if cluster_bits not in _CLUSTER_BITS:
        return len(head)
    return min(backing_offset + backing_length, 1 << cluster_bits)


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


def _format_by_magic(head: bytes) -> str:
    for offset, magic, name in _OTHER_FORMATS:
        if head.startswith(magic, offset):
            return name
    return RAW


def _fixed_part(head: bytes) -> tuple[int, int, int, int, int]:
    if len(head) < _V2_LENGTH:
        raise ValueError(f"its header ends after {len(head)} bytes")
    _, version, backing_offset, backing_length, cluster_bits, size_bytes = _FIXED_PART.unpack_from(head)
    return version, backing_offset, backing_length, cluster_bits, size_bytes


def _header_length(head: bytes, version: int) -> int:
    if version == 2:  # noqa: PLR2004
        return _V2_LENGTH
    if len(head) < _V3_LENGTH_FIELD.size:
        raise ValueError(f"its header ends after {len(head)} bytes")
    (length,) = _V3_LENGTH_FIELD.unpack_from(head)
    return int(length)


def _backing_name(head: bytes, offset: int, length: int) -> str:
    name = head[offset : offset + length]
    if not 0 < length <= _BACKING_NAME_MAX_BYTES or len(name) < length or b"\0" in name:
        raise ValueError("the name of its backing file lies outside the header")
    return name.decode(errors="replace")


def _backing_format(head: bytes, position: int, end: int) -> str | None:
    while position + _EXTENSION.size <= min(end, len(head)):
        kind, length = _EXTENSION.unpack_from(head, position)
        position += _EXTENSION.size
        if kind == _END_OF_EXTENSIONS:
            return None
        if position + length > min(end, len(head)):
            raise ValueError("a header extension reaches beyond the header")
        if kind == _BACKING_FORMAT:
            return head[position : position + length].decode("ascii", errors="replace")
        position += -(-length // 8) * 8
    return None
