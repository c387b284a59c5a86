"""What a disk image says of itself: format, virtual size and backing file, from its first and last bytes.

A qcow2 header is followed by extensions of (type, length, data padded to 8 bytes) up to the backing file's name,
which ends within the first cluster (QEMU's `docs/interop/qcow2.txt`). Pure.
"""

import struct
from dataclasses import dataclass, field, replace

from reconciler.host.disks.qcow2_header import CLUSTER_BITS, MAGIC, Header, read_fields, require_possible
from reconciler.host.magic import ENOUGH_BYTES, GUEST_FORMATS, QCOW2, RAW, what_it_is

_EXTENSION = struct.Struct(">II")
_END_OF_EXTENSIONS = 0
_BACKING_FORMAT = 0xE2792ACA
_BACKING_NAME_MAX_BYTES = 1023

_CORRUPT, _EXTERNAL_DATA_FILE, _COMPRESSION_TYPE = 1 << 1, 1 << 2, 1 << 3
_KNOWN_FEATURES = 0b11111  # dirty, corrupt, external data file, compression type, extended L2 entries: QEMU 7.2
_KNOWN_COMPRESSIONS = range(2)  # zlib, zstd
_SECTOR_BYTES = 512
_PAD = "is it truncated? otherwise pad it: `truncate -s %512 {path}`"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's header says; `size_bytes` is the size that a guest sees, and the file's for other formats.

    `format` is `qcow2`, `raw`, or the name of a format that is recognised only to be refused. `backing` is the name as
    written in the header. `unusable` says why a guest could not use the image, and what helps. `holds` is what a raw
    image contains instead of partitions or a file system, if that is known. `written` is true of a
    qcow2 file that does not end with its tables: whatever is written to it comes after them.
    """

    format: str
    size_bytes: int
    backing: str | None = None
    backing_format: str | None = None
    unusable: str | None = None
    holds: str | None = None
    written: bool = field(default=False, compare=False)


def parse_header(head: bytes, file_size_bytes: int, ending: bytes = b"") -> ImageFacts:
    """The facts in the first `header_span(head)` bytes of an image, and in its last ones.

    Raises `ValueError` if they are contradictory.
    """
    if not head.startswith(MAGIC):
        return _other_facts(what_it_is(head, ending), file_size_bytes)
    header = read_fields(head)
    if header.version == 1:
        return ImageFacts("qcow", file_size_bytes)
    require_possible(header)
    unusable = _feature_obstacle(header) or _size_obstacle(header, file_size_bytes)
    backing_format = _backing_format(head, header.length, header.backing_offset or 1 << header.cluster_bits)
    written = file_size_bytes > header.tables_end
    if header.backing_offset == 0:
        return ImageFacts(QCOW2, header.size_bytes, unusable=unusable, written=written)
    backing = _backing_name(head, header.backing_offset, header.backing_length)
    return ImageFacts(QCOW2, header.size_bytes, backing, backing_format, unusable, written=written)


def raw_facts(size_bytes: int) -> ImageFacts:
    """The facts of a raw image, whatever it contains."""
    uneven = f"has {size_bytes} bytes, no multiple of {_SECTOR_BYTES} ({_PAD})" if size_bytes % _SECTOR_BYTES else None
    return ImageFacts(RAW, size_bytes, unusable=uneven)


def header_span(head: bytes) -> int:
    """How many of an image's first bytes `parse_header` needs, as far as `head` tells."""
    if not head.startswith(MAGIC):
        return max(len(head), ENOUGH_BYTES)
    try:
        header = read_fields(head)
    except ValueError:
        return len(head)
    if header.cluster_bits not in CLUSTER_BITS:
        return len(head)
    return min(header.backing_offset + header.backing_length, 1 << header.cluster_bits)


def _other_facts(found: str, size_bytes: int) -> ImageFacts:
    if found not in GUEST_FORMATS and found != RAW:
        return ImageFacts(found, size_bytes)
    return replace(raw_facts(size_bytes), holds=found if found in GUEST_FORMATS else None)


def _feature_obstacle(header: Header) -> str | None:
    """Why, according to its header, an image cannot be used by itself, or not here."""
    features = header.incompatible_features
    if header.crypt_method:
        return "is encrypted (decrypt it into a copy: qemu-img(1), `convert`)"
    if features & _EXTERNAL_DATA_FILE:
        return "keeps its data in another file (make one file of both: `qemu-img convert -O qcow2 {path} NEW.qcow2`)"
    if features & _CORRUPT:
        return "is marked corrupt (see `qemu-img check {path}`, and use an intact copy)"
    if unknown := _unknown_features(header):
        return f"needs unknown features: {unknown} (convert it with the QEMU that created it)"
    return None


def _size_obstacle(header: Header, file_size_bytes: int) -> str | None:
    """Why, according to its header, an image is not complete."""
    if header.tables_end > file_size_bytes:
        return "ends before its own tables, so it is truncated (copy it again)"
    if rest := header.size_bytes % _SECTOR_BYTES:
        whole = header.size_bytes - rest + _SECTOR_BYTES
        grow = f"grow it: `qemu-img resize -f qcow2 {{path}} {whole}`"
        return f"has {header.size_bytes} bytes, no multiple of {_SECTOR_BYTES} ({grow})"
    return None


def _unknown_features(header: Header) -> str:
    features = header.incompatible_features
    unknown = [f"bit {bit}" for bit in range(64) if features & ~_KNOWN_FEATURES & 1 << bit]
    if header.compression not in _KNOWN_COMPRESSIONS or bool(header.compression) != bool(features & _COMPRESSION_TYPE):
        unknown.append(f"compression {header.compression}")
    return ", ".join(unknown)


def _backing_name(head: bytes, offset: int, length: int) -> str:
    name = head[offset : offset + length]
    if not 0 < length <= _BACKING_NAME_MAX_BYTES or len(name) < length or b"\0" in name:
        raise ValueError("the name of its backing file is outside the header")
    return name.decode(errors="replace")


def _backing_format(head: bytes, position: int, end: int) -> str | None:
    while position + _EXTENSION.size <= min(end, len(head)):
        kind, length = _EXTENSION.unpack_from(head, position)
        position += _EXTENSION.size
        if kind == _END_OF_EXTENSIONS:
            return None
        if position + length > end:
            raise ValueError("a header extension extends beyond the header")
        if kind == _BACKING_FORMAT:
            return head[position : position + length].decode("ascii", errors="replace")
        position += -(-length // 8) * 8
    return None
