"""Recognises a file's format from its first and last bytes, whatever its name. Pure.

Sources: QEMU's `block/*.c` and Microsoft's Virtual Hard Disk Image Format Specification 1.0 for disk images; file(1)'s
magic; Linux, Documentation/arch/x86/boot.rst and Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import struct

QCOW2 = "qcow2"
RAW = "raw"
BZIMAGE = "bzImage"
ELF = "ELF"
TEXT = "text"
ISO = "ISO 9660"

ENOUGH_BYTES = 0x8006
"""How many first bytes are needed for every format known here; the signature of ISO 9660 is the last of them."""

ENDING_BYTES = 512
"""How many last bytes, for formats with a signature at the end: they may begin like the disk that they contain."""

_ENDINGS = (
    (512, b"conectix", "vpc"),
    (511, b"conectix", "vpc"),  # Microsoft Virtual PC before 2004
    (512, b"koly\0\0\0\x04\0\0\x02\0", "dmg"),  # UDIF, version 4, of 512 bytes
    (12, b"NER5", "nrg"),
    (8, b"NERO", "nrg"),
)

_MAGICS = (
    (0, b"QFI\xfb", QCOW2),
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
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (257, b"ustar", "tar"),
    (0x8001, b"CD001", ISO),
    (0, b"hsqs", "squashfs"),
    (0, b"070701", "cpio"),
    (0, b"070702", "cpio"),
    (0, b"070707", "old cpio"),
    (0x202, b"HdrS", BZIMAGE),
    (0, b"\x7fELF", ELF),
    (0x38, b"ARM\x64", "arm64 kernel"),
    (4, b"zimg", "EFI zboot kernel"),
    (0, b"MZ", "EFI or Windows program"),
    (0, b"\x27\x05\x19\x56", "U-Boot image"),
    (0, b"\xd0\x0d\xfe\xed", "device tree"),
    (0, b"\x5d\x00\x00", "lzma"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x89LZO\0", "lzop"),
    (0, b"LZIP", "lzip"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"MSWIM\0", "wim"),
    (0, b"!<arch>\n", "ar"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"%PDF-", "pdf"),
)
_TEXT_SAMPLE_BYTES = 512
_TEXT = frozenset(b"\t\n\r\f\b\x1b") | frozenset(range(0x20, 0x7F)) | frozenset(range(0x80, 0x100))

_SETUP_SECTORS, _SYSTEM_UNITS = 0x1F1, struct.Struct("<I")
_SYSTEM_UNITS_AT, _SECTOR_BYTES, _UNIT_BYTES, _DEFAULT_SECTORS = 0x1F4, 512, 16, 4

UNPACKERS = {
    "gzip": "gunzip",
    "xz": "unxz",
    "zstd": "unzstd",
    "bzip2": "bunzip2",
    "lz4": "unlz4",
    "lzma": "unlzma",
    "compress": "uncompress",
    "lzop": "lzop -d",
    "lzip": "lzip -d",
}
"""The program that unpacks a file compressed in each format."""

DISK_FORMATS = frozenset({QCOW2, "vmdk", "vdi", "vhdx", "vpc", "qed", "luks", "parallels", "bochs", "dmg"})
PROGRAMS = frozenset({ELF, "arm64 kernel", "EFI zboot kernel", "EFI or Windows program", "U-Boot image", "device tree"})
NO_DISKS = frozenset({ISO, "nrg", TEXT, BZIMAGE, "pdf"}) | PROGRAMS
"""Formats that are given as a disk image only by mistake."""

ARCHIVES = frozenset({"zip", "7z", "rar", "wim", "ar", "rpm"})

PACKED = frozenset({"tar", "cpio", "old cpio"})
"""Archives that a guest may read from a raw disk; no guest boots from them."""

GUEST_FORMATS = PACKED | {"squashfs"}
"""Formats that a guest may read from a raw disk without partitions or a writable file system."""


def what_it_is(head: bytes, ending: bytes) -> str:
    """The name of a file's format, from its first and last bytes; `raw` if it is none that is known here."""
    for distance, magic, name in _ENDINGS:
        if len(ending) >= distance and ending.startswith(magic, len(ending) - distance):
            return name
    for offset, magic, name in _MAGICS:
        if head.startswith(magic, offset):
            return name
    sample = head[:_TEXT_SAMPLE_BYTES]
    return TEXT if sample and _TEXT.issuperset(sample) else RAW


def bzimage_bytes(head: bytes) -> int:
    """The minimum length of a bzImage from its header: real-mode sectors, then the system in units of 16 bytes."""
    (units,) = _SYSTEM_UNITS.unpack_from(head, _SYSTEM_UNITS_AT)
    sectors = head[_SETUP_SECTORS] or _DEFAULT_SECTORS
    return (sectors + 1) * _SECTOR_BYTES + (int(units) - 1) * _UNIT_BYTES
