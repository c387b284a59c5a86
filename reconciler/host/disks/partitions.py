"""What the partition table of a disk image says: whether UEFI finds something to boot there, and where it ends.

A table that cannot be read, or that is beyond the first cluster of a qcow2 image, tells nothing.
"""

import struct
import uuid
import zlib
from pathlib import Path
from typing import BinaryIO

from reconciler.files.plain import open_plain

_START_BYTES = 64 * 1024
_SIGNATURE = b"\x55\xaa"
_SECTOR = 512
_MBR_ENTRIES = range(446, 510, 16)
_PROTECTIVE, _EXTENDED = 0xEE, {0x05, 0x0F, 0x85}
_FAT_TYPES = {0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEF}
_FAT_NAMES = (54, 82)  # where an unpartitioned FAT file system has its type
_GPT_HEADER = struct.Struct("<8s64xQII")  # signature, first sector, number and size of entries (UEFI 2.10, 5.3.2)
_GPT_SIGNATURE, _GPT_PLACES = b"EFI PART", struct.Struct("<8s24xQ")  # signature, last sector of the disk
_BOOT_FLAGS, _MBR_SECTORS = {0x00, 0x80}, struct.Struct("<II")  # first sector, and how many
_EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
_BASIC_DATA = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7").bytes_le

_QCOW2_HEADER = struct.Struct(">4sI12xI12xIQ")  # magic, version, cluster bits, entries and place of the first table
_ENTRY = struct.Struct(">Q")
_OFFSET, _COMPRESSED, _ZEROS = 0x00FFFFFFFFFFFE00, 1 << 62, 1
_OTHER_COMPRESSION = 1 << 3  # one of the incompatible features, which version 3 has at 72


def may_boot_by_uefi(path: Path) -> bool:
    """Whether a partition of the image can be an EFI system partition; also true if unknown. Blocking."""
    try:
        with open_plain(path) as image:
            start = _start_of_disk(image)
        return start is None or _has_efi_partition(start)
    except (OSError, ValueError, struct.error, zlib.error):  # an offset beyond all files is a ValueError
        return True


def bytes_in_partitions(path: Path) -> int:
    """The least size of a disk, by its partition table; 0 if it cannot be told. Blocking."""
    try:
        with open_plain(path) as image:
            start = _start_of_disk(image)
    except (OSError, ValueError, struct.error, zlib.error):
        return 0
    return _end_of_partitions(start) if start and start[510:512] == _SIGNATURE else 0


def _end_of_partitions(start: bytes) -> int:
    """By the backup GPT at the end of the disk, or by MBR partitions that cannot be boot loader code."""
    entries = [start[at : at + 16] for at in _MBR_ENTRIES]
    if any(entry[4] == _PROTECTIVE for entry in entries):
        signature, last = _GPT_PLACES.unpack_from(start, _SECTOR)
        return (last + 1) * _SECTOR if signature == _GPT_SIGNATURE else 0
    if any(entry[0] not in _BOOT_FLAGS for entry in entries):
        return 0
    ends = [sum(_MBR_SECTORS.unpack_from(entry, 8)) for entry in entries if entry[4]]
    return max(ends, default=0) * _SECTOR


def _start_of_disk(image: BinaryIO) -> bytes | None:
    """The disk's first bytes as a guest sees them; None if they cannot be determined."""
    head = image.read(_START_BYTES)
    if not head.startswith(b"QFI\xfb"):
        return head
    _, version, cluster_bits, entries, table = _QCOW2_HEADER.unpack_from(head)
    second = _entry_at(image, table) & _OFFSET if entries else 0
    entry = _entry_at(image, second) if second else 0
    if entry & _COMPRESSED:
        other = version > 2 and _ENTRY.unpack_from(head, 72)[0] & _OTHER_COMPRESSION  # noqa: PLR2004
        return None if other else _inflated(image, entry, cluster_bits)
    if entry & _ZEROS or not entry & _OFFSET:
        return None
    image.seek(entry & _OFFSET)
    size = min(1 << cluster_bits, _START_BYTES)
    return image.read(size).ljust(size, b"\0")  # the file may end with the last bytes that were written


def _entry_at(image: BinaryIO, offset: int) -> int:
    image.seek(offset)
    return int(_ENTRY.unpack(image.read(_ENTRY.size))[0])


def _inflated(image: BinaryIO, entry: int, cluster_bits: int) -> bytes:
    """Decompress a cluster: its offset, and the number of sectors it ends in (QEMU's docs/interop/qcow2.txt)."""
    offset_bits = 62 - (cluster_bits - 8)
    offset = entry & ((1 << offset_bits) - 1)
    sectors = (entry & (_COMPRESSED - 1)) >> offset_bits
    image.seek(offset)
    return zlib.decompressobj(-12).decompress(image.read((sectors + 1) * _SECTOR), _START_BYTES)


def _has_efi_partition(start: bytes) -> bool:
    if start[510:512] != _SIGNATURE or any(start[at : at + 3] == b"FAT" for at in _FAT_NAMES):
        return True
    types = {start[entry + 4] for entry in _MBR_ENTRIES} - {0}
    if _PROTECTIVE in types:
        return _gpt_has_efi_partition(start)
    return not types or bool(types & (_FAT_TYPES | _EXTENDED))


def _gpt_has_efi_partition(start: bytes) -> bool:
    signature, sector, number, size = _GPT_HEADER.unpack_from(start, _SECTOR)
    first, end = sector * _SECTOR, sector * _SECTOR + number * size
    if signature != _GPT_SIGNATURE or size < len(_EFI_SYSTEM) or end > len(start):
        return True
    return any(start[at : at + 16] in {_EFI_SYSTEM, _BASIC_DATA} for at in range(first, end, size))
