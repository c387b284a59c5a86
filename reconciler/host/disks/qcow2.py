"""What a disk image says of itself: format, virtual size and backing file, from its first and last bytes.

The layout is QEMU's `docs/interop/qcow2.txt`: all integers big-endian; a header of 72 bytes in version 2, and
of `header_length` bytes in version 3; then extensions of (type, length, data padded to 8 bytes) up to the
backing file's name, which ends within the first cluster. Pure.
"""

import struct
from dataclasses import dataclass

from reconciler.host.magic import ENOUGH_BYTES, GUEST_FORMATS, QCOW2, RAW, what_it_is

_QCOW_MAGIC = b"QFI\xfb"
_FIXED_PART = struct.Struct(">4sIQIIQ")  # magic, version, backing offset, backing length, cluster bits, size
_V2_LENGTH = 72
_V3_LENGTH_FIELD = struct.Struct(">100xI")
_EXTENSION = struct.Struct(">II")
_END_OF_EXTENSIONS = 0
_BACKING_FORMAT = 0xE2792ACA
_BACKING_NAME_MAX_BYTES = 1023
_CLUSTER_BITS = range(9, 22)

_CRYPT_METHOD = struct.Struct(">32xI")
_L1_TABLE = struct.Struct(">36xIQ")  # entries, offset
_L1_ENTRY_BYTES = 8
_INCOMPATIBLE_FEATURES = struct.Struct(">72xQ")
_CORRUPT, _EXTERNAL_DATA_FILE = 1 << 1, 1 << 2
_KNOWN_FEATURES = 0b11111  # dirty, corrupt, external data file, compression type, extended L2 entries: QEMU 7.2
_SECTOR_BYTES = 512
_PAD = "is it cut off? else fill it up: `truncate -s %512 {path}`"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says; `size_bytes` is the size that a guest sees, and the file's for other formats.

    `format` is `qcow2`, `raw`, or the name of a format that we recognise only to refuse it. `backing` is the name
    as it is written in the header. `unusable` is why a guest could not use the image, and what helps.
    """

    format: str
    size_bytes: int
    backing: str | None = None
    backing_format: str | None = None
    unusable: str | None = None


def parse_header(head: bytes, file_size_bytes: int, ending: bytes = b"") -> ImageFacts:
    """The facts in the first `header_span(head)` bytes of an image, and in its last ones.

    Raises `ValueError` where they contradict themselves.
    """
    if not head.startswith(_QCOW_MAGIC):
        return _other_facts(what_it_is(head, ending), file_size_bytes)
    version, backing_offset, backing_length, cluster_bits, size_bytes = _fixed_part(head)
    if version == 1:
        return ImageFacts("qcow", file_size_bytes)
    if version not in {2, 3}:
        raise ValueError(f"qcow2 version {version} is unknown")
    if cluster_bits not in _CLUSTER_BITS:
        raise ValueError(f"2^{cluster_bits} bytes is no size for a cluster")
    length = _header_length(head, version)
    unusable = _obstacle(head, version, file_size_bytes)
    if backing_offset == 0:
        return ImageFacts(QCOW2, size_bytes, unusable=unusable)
    backing = _backing_name(head, backing_offset, backing_length)
    backing_format = _backing_format(head, length, backing_offset)
    return ImageFacts(QCOW2, size_bytes, backing, backing_format, unusable)


def header_span(head: bytes) -> int:
    """How many of an image's first bytes `parse_header` needs, as far as `head` can tell."""
    if not head.startswith(_QCOW_MAGIC):
        return max(len(head), ENOUGH_BYTES)
    if len(head) < _V2_LENGTH:
        return len(head)
    _, backing_offset, backing_length, cluster_bits, _ = _fixed_part(head)
    if cluster_bits not in _CLUSTER_BITS:
        return len(head)
    return min(backing_offset + backing_length, 1 << cluster_bits)


def _other_facts(found: str, size_bytes: int) -> ImageFacts:
    name = RAW if found in GUEST_FORMATS else found
    if name != RAW or size_bytes % _SECTOR_BYTES == 0:
        return ImageFacts(name, size_bytes)
    return ImageFacts(RAW, size_bytes, unusable=f"has {size_bytes} bytes, no multiple of {_SECTOR_BYTES} ({_PAD})")


def _obstacle(head: bytes, version: int, file_size_bytes: int) -> str | None:
    """What of an image's header says that it cannot stand by itself, or is not whole."""
    features = _INCOMPATIBLE_FEATURES.unpack_from(head)[0] if version > 2 else 0  # noqa: PLR2004
    entries, offset = _L1_TABLE.unpack_from(head)
    if _CRYPT_METHOD.unpack_from(head)[0]:
        return "is encrypted (write a plain copy with its secret: qemu-img(1), `convert`)"
    if features & _EXTERNAL_DATA_FILE:
        return "keeps its data in another file (make one file of both: `qemu-img convert -O qcow2 {path} NEW.qcow2`)"
    if features & _CORRUPT:
        return "is marked corrupt (see `qemu-img check {path}`, and take a copy that is whole)"
    if unknown := [bit for bit in range(64) if features & ~_KNOWN_FEATURES & 1 << bit]:
        bits = ", ".join(map(str, unknown))
        return f"needs features that are not known here: bit {bits} (convert it with the QEMU that made it)"
    if offset + entries * _L1_ENTRY_BYTES > file_size_bytes:
        return "ends before its own tables, so it is cut off (copy it again)"
    return None


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
