"""The fields of a qcow2 header, if it is one that QEMU opens. Pure.

The layout is QEMU's `docs/interop/qcow2.txt`: all integers big-endian, 72 bytes in version 2 and `length` in version 3.
The limits are those of QEMU 7.2, `qcow2_do_open` in `block/qcow2.c`.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"QFI\xfb"
CLUSTER_BITS = range(9, 22)
EXTENDED_L2_ENTRIES = 1 << 4

_V2, _V3 = struct.Struct(">4sIQIIQIIQQIIQ"), struct.Struct(">72xQQQII")
_COMPRESSION_AT = _V3.size
_ENTRY_BYTES = 8
_MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_BYTES = 8 << 20
_MAX_SNAPSHOTS = 65536
_MAX_REFCOUNT_ORDER = 6
_MIN_EXTENDED_CLUSTER_BITS = 14
_LENGTH_UNIT_BYTES = 8


class Header(NamedTuple):
    """The fields in the order of the file; version 2 gets the values that its format implies for those of version 3."""

    magic: bytes
    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size_bytes: int
    crypt_method: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible_features: int = 0
    compatible_features: int = 0
    autoclear_features: int = 0
    refcount_order: int = 4
    length: int = _V2.size
    compression: int = 0

    @property
    def tables_end(self) -> int:
        """The minimum length of the file; a reference count table may be cut short, as its end is zeros."""
        l1_end = self.l1_offset + self.l1_entries * _ENTRY_BYTES
        return max(l1_end, self.refcount_offset + _ENTRY_BYTES)


def read_fields(head: bytes) -> Header:
    """The fields as they are. Raises `ValueError` if the header is truncated."""
    if len(head) < _V2.size:
        raise ValueError(f"its header ends after {len(head)} bytes")
    header = Header(*_V2.unpack_from(head))
    if header.version != 3:  # noqa: PLR2004
        return header
    if len(head) < _V3.size:
        raise ValueError(f"its header ends after {len(head)} bytes")
    of_v2 = header[: Header._fields.index("incompatible_features")]
    *fields, length = _V3.unpack_from(head)
    compression = head[_COMPRESSION_AT] if length > _COMPRESSION_AT and len(head) > _COMPRESSION_AT else 0
    return Header._make((*of_v2, *fields, length, compression))


def require_possible(header: Header) -> None:
    """Raises `ValueError` if the fields are contradictory, or beyond what QEMU can open."""
    for trouble in _contradictions(header):
        raise ValueError(trouble)


def _contradictions(header: Header) -> Iterator[str]:
    """Each check relies on the ones before it."""
    if header.version not in {2, 3}:
        yield f"qcow2 version {header.version} is unknown"
    if header.cluster_bits not in CLUSTER_BITS:
        yield f"2^{header.cluster_bits} bytes is not a valid cluster size"
    shortest = _V3.size if header.version > 2 else _V2.size  # noqa: PLR2004
    if not shortest <= header.length <= 1 << header.cluster_bits or header.length % _LENGTH_UNIT_BYTES:
        yield f"{header.length} bytes is not a valid header length"
    if header.refcount_order > _MAX_REFCOUNT_ORDER:
        yield f"its reference counts have 2^{header.refcount_order} bits"
    yield from _table_contradictions(header)


def _table_contradictions(header: Header) -> Iterator[str]:
    l1_bytes = header.l1_entries * _ENTRY_BYTES
    if header.refcount_clusters == 0:
        yield "it has no reference count table"
    refcount_bytes = header.refcount_clusters << header.cluster_bits
    yield from _place(header, "reference count table", header.refcount_offset, refcount_bytes, _MAX_REFCOUNT_BYTES)
    if l1_bytes:
        yield from _place(header, "L1 table", header.l1_offset, l1_bytes, _MAX_L1_BYTES)
    yield from _l1_contradictions(header)
    if header.snapshots > _MAX_SNAPSHOTS or header.snapshots_offset % (1 << header.cluster_bits):
        yield f"it has no room for {header.snapshots} snapshots"


def _place(header: Header, table: str, offset: int, length: int, most: int) -> Iterator[str]:
    if length > most:
        yield f"its {table} of {length} bytes is too large"
    if offset == 0 or offset % (1 << header.cluster_bits) or offset + length >= 1 << 63:
        yield f"its {table} cannot be at offset {offset}"


def _l1_contradictions(header: Header) -> Iterator[str]:
    extended = bool(header.incompatible_features & EXTENDED_L2_ENTRIES)
    if extended and header.cluster_bits < _MIN_EXTENDED_CLUSTER_BITS:
        yield f"clusters of 2^{header.cluster_bits} bytes have no subclusters"
    bits_per_entry = header.cluster_bits + header.cluster_bits - (4 if extended else 3)
    if -(-header.size_bytes >> bits_per_entry) > header.l1_entries:
        yield f"its L1 table of {header.l1_entries} entries is too small for {header.size_bytes} bytes"
