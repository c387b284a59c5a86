"""Recognises what a kernel can unpack or mount as an initrd, by its first bytes. Pure.

Sources: Linux 6.12, `unpack_to_rootfs` in init/initramfs.c, lib/decompress*.c, and `identify_ramdisk_image` in
init/do_mounts_rd.c for images of file systems, which a kernel reads as a RAM disk.
"""

PADDING_BYTES = 1024 * 1024
"""How many bytes of a file that begins with zeros are needed: a kernel skips zeros before an archive."""

_CPIO = (b"070701", b"070702")
_CPIO_ALIGNMENT = 4

_COMPRESSED = (
    b"\x1f\x8b\x08",  # gzip
    b"BZh",
    b"\x5d\0",  # lzma
    b"\xfd7zXZ\0",
    b"\x89LZO\0",
    b"\x02\x21\x4c\x18",  # lz4 in legacy frames
    b"\x28\xb5\x2f\xfd",  # zstd
)
_MODERN_LZ4 = b"\x04\x22\x4d\x18"

_FILE_SYSTEMS = (
    (0, b"-rom1fs-"),
    (0, b"\x45\x3d\xcd\x28"),  # cramfs
    (0x200, b"\x45\x3d\xcd\x28"),  # cramfs behind room for a boot sector
    (0, b"hsqs"),  # squashfs
    (0x410, b"\x7f\x13"),  # minix, names of up to 14 bytes
    (0x410, b"\x8f\x13"),  # minix, names of up to 30 bytes
    (0x438, b"\x53\xef"),  # ext2, ext3, ext4
)


def may_be_initrd(head: bytes) -> bool:
    """Whether a kernel finds something in the file: an archive, possibly after zeros, or a file system."""
    archive = head.lstrip(b"\0")
    if archive.startswith(_CPIO):
        return (len(head) - len(archive)) % _CPIO_ALIGNMENT == 0
    return archive.startswith(_COMPRESSED) or any(head.startswith(magic, at) for at, magic in _FILE_SYSTEMS)


def is_modern_lz4(head: bytes) -> bool:
    """Whether the file is what lz4(1) writes by default, of which kernels know nothing."""
    return head.lstrip(b"\0").startswith(_MODERN_LZ4)
