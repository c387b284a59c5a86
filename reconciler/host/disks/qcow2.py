"""What a disk image says of itself: format, virtual size and backing file, from its first bytes.

The layout is QEMU's `docs/interop/qcow2.txt`: all integers big-endian; a header of 72 bytes in version 2, and
of `header_length` bytes in version 3; then extensions of (type, length, data padded to 8 bytes) up to the
backing file's name, which ends within the first cluster. Pure.
"""

import struct
from dataclasses import dataclass

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
