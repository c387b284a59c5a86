"""Whether chains are whole, and what qemu-img finds in images, from what it printed of them."""

import struct
from pathlib import Path

import pytest

from reconciler.host.disks.chain_check import broken_chains, parse_check
from reconciler.host.disks.image_file import read_image_facts
from reconciler.process import Completed
from tests.unit.desired.files import GIB, qcow2_header

GOLDEN = Path(__file__).parent / "golden"


def checked(stdout: bytes, stderr: bytes = b"") -> Completed:
    return Completed(("qemu-img", "check"), 2, stdout, stderr, 0.0)


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("check-damaged.*")), ids=lambda path: path.stem)
def test_errors_in_the_tables_of_an_image_are_counted(sample: Path) -> None:
    assert parse_check(checked(sample.read_bytes())) == "qemu-img check found 2 errors in its tables"


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("check-[ls]*")), ids=lambda path: path.stem)
def test_a_report_without_errors_leaves_it_to_the_exit_code(sample: Path) -> None:
    assert parse_check(checked(sample.read_bytes())) == "qemu-img check ended with 2"


def test_a_check_that_could_not_be_made_says_why() -> None:
    assert (
        parse_check(checked(b"", b"Could not open it: Permission denied\n")) == "Could not open it: Permission denied"
    )


def test_a_raw_file_below_a_layer_is_not_looked_into(tmp_path: Path) -> None:
    """A guest wrote it, before the snapshot: what looks like a header names files of the host."""
    raw, layer = tmp_path / "disk.raw", tmp_path / "layer.qcow2"
    raw.write_bytes(qcow2_header(GIB, b"/etc/shadow").ljust(1 << 20, b"\0"))
    layer.write_bytes(stacked_header(raw))
    assert broken_chains({layer: "qcow2"}) == []
    assert broken_chains({raw: "raw"}) == []
    assert read_image_facts(raw, "raw").size_bytes == 1 << 20
    raw.unlink()
    assert [f"cannot read the disk image {raw}" in said for said in broken_chains({layer: "qcow2"})] == [True]


def stacked_header(raw: Path) -> bytes:
    name = bytes(raw)
    head = bytearray(qcow2_header(GIB, name))
    extension = struct.pack(">II8s", 0xE2792ACA, 3, b"raw") + bytes(8)
    struct.pack_into(">QI", head, 8, 72 + len(extension), len(name))
    head[72 : 72 + len(extension) + len(name)] = extension + name
    return bytes(head)
