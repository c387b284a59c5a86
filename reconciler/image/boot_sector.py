"""A disk that a BIOS can boot: partition table and GRUB in front of one file system; pure.

The layout is what `grub-bios-setup` would write, created without a loop device or a mount. The sources are GRUB
2.06's `boot.S`, `diskboot.S` and `util/mkimage.c`.
"""

import struct

SECTOR_BYTES = 512
PARTITION_OFFSET_BYTES = 1024 * 1024
"""Where the file system starts; GRUB's core lies between it and the first sector."""

GRUB_PREFIX = "(hd0,msdos1)/boot/grub"
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux16", "normal", "configfile")
GRUB_CONFIG = f"set root=(hd0,msdos1)\nconfigfile {GRUB_PREFIX}/grub.cfg\n"

_DISK_SIGNATURE = b"vmcl"
_LINUX_PARTITION = 0x83
_ACTIVE = 0x80
_BEYOND_CHS = b"\xfe\xff\xff"
_DRIVE_CHECK_OFFSET = 0x66
_DRIVE_CHECK_OFF = b"\x90\x90"
"""`boot.S` jumps over a work-around for BIOSes that pass a wrong drive number; two `nop`s enable it."""

_CORE_BLOCKLIST_OFFSET = SECTOR_BYTES - 12
_CORE_BLOCKLIST = "<QHH"
_CORE_SECTOR = 1


def render_boot_area(boot_img: bytes, core_img: bytes, disk_bytes: int) -> bytes:
    """The bytes in front of the file system: the boot sector with its partition table, and GRUB's core.

    `boot_img` is GRUB's `boot.img`, which loads the sector after its own; `core_img` comes from `grub-mkimage`, and its
    block list says that the rest of it follows. Raises `ValueError` if they are anything else.
    """
    if len(boot_img) != SECTOR_BYTES or len(core_img) <= SECTOR_BYTES:
        raise ValueError("not a boot sector and a core image of GRUB for BIOS")
    start, sectors, _segment = struct.unpack_from(_CORE_BLOCKLIST, core_img, _CORE_BLOCKLIST_OFFSET)
    if start != _CORE_SECTOR + 1 or sectors * SECTOR_BYTES < len(core_img) - SECTOR_BYTES:
        raise ValueError("the core image does not say that it is contiguous after the boot sector")
    if SECTOR_BYTES + len(core_img) > PARTITION_OFFSET_BYTES:
        raise ValueError("the core image does not fit before the file system")
    return _boot_sector(boot_img, disk_bytes) + core_img


def _boot_sector(boot_img: bytes, disk_bytes: int) -> bytes:
    code = bytearray(boot_img[:440])
    code[_DRIVE_CHECK_OFFSET : _DRIVE_CHECK_OFFSET + 2] = _DRIVE_CHECK_OFF
    return bytes(code) + _DISK_SIGNATURE + bytes(2) + _partition(disk_bytes) + bytes(48) + b"\x55\xaa"


def _partition(disk_bytes: int) -> bytes:
    first = PARTITION_OFFSET_BYTES // SECTOR_BYTES
    sectors = disk_bytes // SECTOR_BYTES - first
    return struct.pack("<B3sB3sII", _ACTIVE, _BEYOND_CHS, _LINUX_PARTITION, _BEYOND_CHS, first, sectors)
