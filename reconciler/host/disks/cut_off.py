"""Detects disk images that end before their data, such as one that was copied or downloaded in part.

A qcow2 image counts the references to each cluster, and its tables say where each part of the disk is (QEMU's
`docs/interop/qcow2.txt`). If QEMU was killed, a count may be ahead of what was written, so the tables decide.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from reconciler.host.disks.partitions import bytes_in_partitions
from reconciler.host.disks.qcow2_header import EXTENDED_L2_ENTRIES, MAGIC, Header, read_fields, require_possible
from reconciler.host.file_ends import NoFile, open_file

_HEADER_BYTES = 4096
_ENTRY_BYTES = 8
_OFFSET, _COMPRESSED, _ZEROS = 0x00FFFFFFFFFFFE00, 1 << 62, 1
_BITS_OF_BYTE = 3
_READ_LIMIT_BYTES = 64 * 1024 * 1024
"""Of tables in one image, which covers 512 GiB of disk in clusters of 64 KiB; an image can claim any number of them."""


def is_cut_off(path: Path, size_bytes: int) -> bool:
    """Whether data that a guest of `size_bytes` of disk would read lies beyond the end of the file.

    Blocking; reads only the reference counts if the image is whole. False if it cannot be told, or only from
    more than 64 MiB of tables.
    """
    try:
        with open_file(path) as file:
            head = os.pread(file, _HEADER_BYTES, 0)
            if head.startswith(MAGIC) and _is_image_cut_off(file, head):
                return True
        return bytes_in_partitions(path) > size_bytes
    except (OSError, NoFile, ValueError, struct.error):
        return False


def _is_image_cut_off(file: int, head: bytes) -> bool:
    header = read_fields(head)
    require_possible(header)
    end, tables = os.fstat(file).st_size, _Tables(file)
    if _last_used(tables, header) < end:
        return False
    return any(place >= end for place in _places(tables, header, end))


class _Tables:
    """Reads tables of an image, up to a limit: beyond it `ValueError`."""

    def __init__(self, file: int) -> None:
        self._file, self._left = file, _READ_LIMIT_BYTES

    def read(self, size: int, offset: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise ValueError(f"more than {_READ_LIMIT_BYTES} bytes of tables")
        return os.pread(self._file, size, offset)


def _last_used(tables: _Tables, header: Header) -> int:
    """The offset of the last cluster in use, by the reference counts; 0 if there is none."""
    table = tables.read(header.refcount_clusters << header.cluster_bits, header.refcount_offset)
    blocks = [offset & _OFFSET for offset in _entries(table)]
    for number, offset in reversed(list(enumerate(blocks))):
        counts = tables.read(1 << header.cluster_bits, offset) if offset else b""
        if offset and not counts:
            return offset
        if used := len(counts.rstrip(b"\0")):
            per_block = 8 << header.cluster_bits >> header.refcount_order
            first_of_byte = (used - 1) << _BITS_OF_BYTE >> header.refcount_order
            return (number * per_block + first_of_byte) << header.cluster_bits
    return 0


def _places(tables: _Tables, header: Header, end: int) -> Iterator[int]:
    """The offsets of the disk's tables and data in the file, except what reads as zeros."""
    width = 2 if header.incompatible_features & EXTENDED_L2_ENTRIES else 1
    compressed_offset = (1 << (62 - (header.cluster_bits - 8))) - 1
    for entry in _entries(tables.read(header.l1_entries * _ENTRY_BYTES, header.l1_offset)):
        table = entry & _OFFSET
        yield table
        if not table or table >= end:
            continue
        for place in _entries(tables.read(1 << header.cluster_bits, table))[::width]:
            if place & _COMPRESSED:
                yield place & compressed_offset
            elif not place & _ZEROS:
                yield place & _OFFSET


def _entries(table: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(table) // _ENTRY_BYTES}Q", table[: len(table) // _ENTRY_BYTES * _ENTRY_BYTES])
