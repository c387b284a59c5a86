"""Which files a kernel can use as an initrd, and what is said of all others."""

import bz2
import gzip
import lzma
from pathlib import Path
from random import Random

import pytest

from reconciler.desired.boot_files import why_not_booted

HEADER = b"070701" + b"%08x" * 13
CPIO = HEADER % (0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len("TRAILER!!!\0"), 0) + b"TRAILER!!!\0\0\0\0"
"""An empty archive, as `cpio -H newc` writes it."""

GZIP = gzip.compress(CPIO)
RANDOM = Random(0).randbytes(8192)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + RANDOM
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + RANDOM


def at(offset: int, magic: bytes) -> bytes:
    return (bytes(offset) + magic).ljust(8192, b"\1")


GOOD = {
    "cpio": CPIO,
    "cpio with checksums": b"070702" + CPIO[6:],
    "cpio behind zeros": bytes(512) + CPIO,
    "cpio behind many zeros": bytes(64 * 1024) + CPIO,
    "microcode before a compressed archive": CPIO + bytes(380) + GZIP,
    "microcode before anything": CPIO + RANDOM,
    "gzip": GZIP,
    "gzip behind zeros": bytes(7) + GZIP,
    "bzip2": bz2.compress(CPIO),
    "lzma": lzma.compress(CPIO, lzma.FORMAT_ALONE),
    "lzma with a small dictionary": lzma.compress(
        CPIO, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 4096}]
    ),
    "xz": lzma.compress(CPIO, check=lzma.CHECK_CRC32),
    "lzo": b"\x89LZO\0\r\n\x1a\n" + RANDOM,
    "lz4 in legacy frames": b"\x02\x21\x4c\x18" + RANDOM,
    "zstd": b"\x28\xb5\x2f\xfd" + RANDOM,
    "romfs": b"-rom1fs-" + RANDOM,
    "squashfs": b"hsqs" + RANDOM,
    "cramfs": at(0, b"\x45\x3d\xcd\x28"),
    "cramfs behind a boot sector": at(512, b"\x45\x3d\xcd\x28"),
    "minix": at(1024 + 16, b"\x7f\x13"),
    "minix with longer names": at(1024 + 16, b"\x8f\x13"),
    "ext2": at(1024 + 56, b"\x53\xef"),
}

BAD = {
    "random bytes": RANDOM,
    "a picture": PNG,
    "another picture": JPEG,
    "zeros": bytes(4096),
    "text": b"#!/bin/sh\n",
    "qcow2": b"QFI\xfb" + RANDOM,
    "an odd cpio": b"070707" + RANDOM,
    "cpio out of step": b"\0" + CPIO,
    "half a signature": b"\x1f",
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_what_kernels_unpack_or_mount_is_an_initrd(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(content)
    assert why_not_booted(path, is_kernel=False) is None


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_anything_else_is_refused_with_what_an_initrd_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(content)
    assert str(why_not_booted(path, is_kernel=False)).endswith(
        ", not an initrd (use a cpio archive, compressed or not)"
    )


def test_an_lz4_frame_that_kernels_do_not_know_names_the_option_that_they_need(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.write_bytes(b"\x04\x22\x4d\x18" + RANDOM)
    assert why_not_booted(path, is_kernel=False) == (
        "is lz4 in a frame that kernels do not unpack (compress the cpio archive with lz4 -l)"
    )
