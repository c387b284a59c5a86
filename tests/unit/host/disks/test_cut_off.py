"""Images that were copied or fetched in part, of every kind that QEMU writes."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from reconciler.host.disks.cut_off import is_cut_off

from .test_partitions import ESP, gpt, mbr

MIB = 1 << 20
SIZE = MIB


def convert(raw: Path, image: Path, *options: str) -> None:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image], check=True)


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "compat=0.10"],
        ["-o", "cluster_size=512,refcount_bits=1"],
        ["-o", "cluster_size=16k,extended_l2=on,refcount_bits=64"],
        ["-c"],
        ["-c", "-o", "compression_type=zstd"],
    ],
    ids=" ".join,
)
def test_a_part_of_an_image_is_told_from_the_whole(tmp_path: Path, options: list[str]) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(os.urandom(SIZE))
    convert(raw, image, *options)
    whole = image.read_bytes()
    assert not is_cut_off(image, SIZE)
    image.write_bytes(whole[:-1])
    assert not is_cut_off(image, SIZE), "the last cluster may be written in part"
    for part in (0.3, 0.6, 0.9):
        image.write_bytes(whole[: int(len(whole) * part)])
        assert is_cut_off(image, SIZE)


@pytest.mark.parametrize("options", ["preallocation=metadata", "lazy_refcounts=on", "cluster_size=2M"])
def test_an_image_with_nothing_in_it_is_whole(tmp_path: Path, options: str) -> None:
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "60M"], check=True)
    assert not is_cut_off(image, 60 * MIB)


def test_a_count_that_is_ahead_of_what_was_written_is_no_loss(tmp_path: Path) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(os.urandom(SIZE))
    convert(raw, image)
    counts = int.from_bytes(image.read_bytes()[48:56], "big")
    with image.open("r+b") as file:
        file.seek(counts)
        file.seek(int.from_bytes(file.read(8), "big") + 2 * 5000)
        file.write(b"\0\1")
    assert not is_cut_off(image, SIZE)


def test_tables_of_any_size_are_read_up_to_a_limit(tmp_path: Path) -> None:
    """A million reference count blocks that all are the same empty cluster: a terabyte to read."""
    image, cluster = tmp_path / "image", 2 * MIB
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", image, "1G"], check=True)
    table, empty = 16 * cluster, 32 * cluster
    with image.open("r+b") as file:
        file.seek(48)
        file.write(struct.pack(">QI", table, 4))
        file.seek(table)
        file.write(struct.pack(">Q", empty) * (4 * cluster // 8))
        file.truncate(33 * cluster)
    assert not is_cut_off(image, SIZE)


@pytest.mark.parametrize(
    ("start", "whole_bytes"),
    [
        (gpt(ESP, last_sector=8191), 4 * MIB),
        (mbr(0x83), (2048 + 4096) * 512),
        (mbr(0xEE), 512),
        (b"\xeb" * 510 + b"\x55\xaa", 512),
        (b"", 512),
    ],
    ids=["gpt", "mbr", "broken gpt", "a boot loader's code", "nothing"],
)
def test_a_raw_disk_is_as_long_as_its_partitions(tmp_path: Path, start: bytes, whole_bytes: int) -> None:
    image = tmp_path / "image"
    image.write_bytes(start.ljust(4096, b"\0"))
    assert not is_cut_off(image, max(whole_bytes, 4096))
    assert is_cut_off(image, whole_bytes - 512) is (whole_bytes > 4096)


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"QFI\xfb" + b"\xff" * 300])
def test_what_cannot_be_told_is_not_refused(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image"
    image.write_bytes(content)
    assert not is_cut_off(image, 512)
    assert not is_cut_off(tmp_path / "none", 512)
