"""Whether UEFI finds something to boot on an image, whatever format holds its partition table."""

import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from reconciler.host.disks.partitions import may_boot_by_uefi

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def mbr(*types: int) -> bytes:
    entries = b"".join(struct.pack("<B3xB3xII", 0, kind, 2048, 4096) for kind in types)
    return bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa"


def gpt(*kinds: uuid.UUID, last_sector: int = 0) -> bytes:
    header = struct.pack("<8s24xQ32xQII", b"EFI PART", last_sector, 2, 128, 128).ljust(512, b"\0")
    return mbr(0xEE) + header + b"".join(kind.bytes_le.ljust(128, b"\1") for kind in kinds)


CASES = {
    "BIOS": (mbr(0x83), False),
    "several for BIOS": (mbr(0x83, 0x82, 0x8E), False),
    "EFI in an old table": (mbr(0x83, 0xEF), True),
    "logical partitions": (mbr(0x83, 0x05), True),
    "GPT with EFI": (gpt(LINUX, ESP), True),
    "GPT without": (gpt(LINUX, LINUX), False),
    "broken GPT": (mbr(0xEE), True),
    "FAT alone": (bytes(82) + b"FAT32   ".ljust(428, b"\0") + b"\x55\xaa", True),
    "nothing": (b"", True),
}


@pytest.mark.parametrize(
    "options", [[], ["-c"], ["-o", "cluster_size=128k,extended_l2=on"], ["-o", "cluster_size=512"]]
)
@pytest.mark.parametrize("case", CASES)
def test_an_image_without_a_partition_for_efi_is_told(tmp_path: Path, case: str, options: list[str]) -> None:
    start, expected = CASES[case]
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(start.ljust(1 << 20, b"\0"))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", *options, raw, image], check=True)
    assert may_boot_by_uefi(raw) is expected
    told = "cluster_size=512" not in options or case != "GPT without"  # the table is in clusters further back
    assert may_boot_by_uefi(image) is (expected or not told)


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"QFI\xfb" + b"\xff" * 300])
def test_an_image_that_cannot_be_read_is_not_refused_for_it(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert may_boot_by_uefi(image)
    assert may_boot_by_uefi(tmp_path / "none")
