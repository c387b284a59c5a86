"""What a file is, from its bytes, and what a topology does with it as an image, a kernel and an initrd."""

from pathlib import Path

import pytest

from reconciler.desired.boot_files import why_not_booted
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.magic import ARCHIVES, NO_DISKS, UNPACKERS

KINDS = {
    b"MZ": "EFI or Windows program",
    b"MZ\0\0zimg": "EFI zboot kernel",
    b"\x27\x05\x19\x56": "U-Boot image",
    b"\xd0\x0d\xfe\xed": "device tree",
    b"\x5d\0\0\x80\0": "lzma",
    b"\x1f\x9d\x90": "compress",
    b"\x89LZO\0\r\n\x1a\n": "lzop",
    b"LZIP\1": "lzip",
    b"Rar!\x1a\x07\1\0": "rar",
    b"MSWIM\0\0\0": "wim",
    b"!<arch>\ndebian-binary": "ar",
    b"\xed\xab\xee\xdb": "rpm",
    b"%PDF-1.7\n": "pdf",
}
UNPACKED_BY_KERNELS = {"lzma", "lzop"}


@pytest.mark.parametrize(("start", "kind"), KINDS.items(), ids=KINDS.values())
def test_a_file_that_is_no_disk_is_told_by_what_it_is(tmp_path: Path, start: bytes, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(start.ljust(4096, b"\0"))
    assert read_image_facts(path).format == kind
    assert kind in {*NO_DISKS, *ARCHIVES, *UNPACKERS}
    assert kind in str(why_not_booted(path, is_kernel=True))
    assert (why_not_booted(path, is_kernel=False) is None) == (kind in UNPACKED_BY_KERNELS)
