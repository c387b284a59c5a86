import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.errors import ImageNotFound
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.qcow2 import ImageFacts, header_span, parse_header

MIB = 1 << 20


def qemu_img_create(path: Path, *arguments: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *arguments[:-1], str(path), arguments[-1]], check=True)
    return path


@pytest.mark.parametrize(
    "options", ["compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M", "lazy_refcounts=on"]
)
def test_an_image_of_qemu_img_is_read_as_it_was_made(tmp_path: Path, options: str) -> None:
    base = qemu_img_create(tmp_path / "base.qcow2", "-o", options, "64M")
    top = qemu_img_create(tmp_path / "top.qcow2", "-o", options, "-b", str(base), "-F", "qcow2", "96M")
    assert read_image_facts(base) == ImageFacts("qcow2", 64 * MIB)
    assert read_image_facts(top) == ImageFacts("qcow2", 96 * MIB, str(base), "qcow2")


def test_an_overlay_without_a_backing_format_says_so(tmp_path: Path) -> None:
    base = qemu_img_create(tmp_path / "base.qcow2", "64M")
    top = qemu_img_create(tmp_path / "top.qcow2", "-b", str(base), "-F", "qcow2", "64M")
    subprocess.run(["qemu-img", "rebase", "-u", "-b", str(base), "-F", "raw", str(top)], check=True)
    assert read_image_facts(top).backing_format == "raw"
    content = bytearray(top.read_bytes())
    at = content.index(struct.pack(">I", 0xE2792ACA))
    content[at : at + 4] = struct.pack(">I", 0x12345678)  # an extension that nobody knows is skipped
    top.write_bytes(content)
    assert read_image_facts(top) == ImageFacts("qcow2", 64 * MIB, str(base), None)


def test_the_longest_backing_name_is_read(tmp_path: Path) -> None:
    directory = tmp_path
    while len(str(directory)) < 800:
        directory /= "d" * 90
    directory.mkdir(parents=True)
    base = qemu_img_create(directory / "base.qcow2", "1M")
    top = qemu_img_create(tmp_path / "top.qcow2", "-b", str(base), "-F", "qcow2", "1M")
    assert read_image_facts(top).backing == str(base)


def test_a_backing_name_beyond_the_first_read_is_found() -> None:
    name = b"/far/base.qcow2"
    head = bytearray(5000 + len(name))
    tables = (0, 1, 1 << 16, 2 << 16, 1, 0, 0)
    struct.pack_into(">4sIQIIQIIQQIIQ", head, 0, b"QFI\xfb", 2, 5000, len(name), 16, MIB, *tables)
    head[5000:] = name
    assert header_span(bytes(head[:4096])) == len(head)
    assert parse_header(bytes(head), 200_000) == ImageFacts("qcow2", MIB, name.decode(), None)


def test_a_file_without_a_magic_is_raw_and_as_large_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(MIB))
    assert read_image_facts(tmp_path / "disk.img") == ImageFacts("raw", MIB)


@pytest.mark.parametrize(
    ("made_by_qemu", "named"),
    [
        ("vmdk", "vmdk"),
        ("vdi", "vdi"),
        ("vhdx", "vhdx"),
        ("vpc", "vpc"),
        ("qed", "qed"),
        ("qcow", "qcow"),
        ("parallels", "parallels"),
    ],
)
def test_a_format_that_cannot_carry_layers_is_named(tmp_path: Path, made_by_qemu: str, named: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", made_by_qemu, str(tmp_path / "disk"), "8M"], check=True)
    assert read_image_facts(tmp_path / "disk").format == named


def test_a_fixed_vhd_is_told_by_its_end_though_it_begins_like_its_disk(tmp_path: Path) -> None:
    raw, fixed = tmp_path / "disk.raw", tmp_path / "disk.img"
    raw.write_bytes(bytes(510) + b"\x55\xaa" + bytes(4 * MIB - 512))
    words = ["-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", str(raw), str(fixed)]
    subprocess.run(["qemu-img", "convert", *words], check=True)
    assert fixed.read_bytes()[:512] == raw.read_bytes()[:512]
    assert read_image_facts(raw).format == "raw"
    assert read_image_facts(fixed).format == "vpc"
    with fixed.open("r+b") as file:  # as Virtual PC before 2004 ends it
        file.truncate(fixed.stat().st_size - 1)
    assert read_image_facts(fixed).format == "vpc"


@pytest.mark.parametrize(
    ("ending", "named"),
    [
        (b"koly\0\0\0\x04\0\0\x02\0".ljust(512, b"\0"), "dmg"),
        (b"koly is a word".ljust(512, b"\0"), "raw"),
        (b"NER5".ljust(12, b"\0"), "nrg"),
        (b"NERO".ljust(8, b"\0"), "nrg"),
        (b"conectix".ljust(510, b"\0"), "raw"),
    ],
)
@pytest.mark.parametrize(
    "beginning", [bytes(512), b"BZh9".ljust(512, b"\1"), b"text" * 128], ids=["zeros", "bzip2", "text"]
)
def test_what_stands_at_the_end_of_a_file_goes_before_what_it_begins_with(
    tmp_path: Path, beginning: bytes, ending: bytes, named: str
) -> None:
    (tmp_path / "disk").write_bytes(beginning + bytes(512) + ending)
    found = read_image_facts(tmp_path / "disk").format
    assert found == named or (named == "raw" and found in {"bzip2", "text"})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--object", "secret,id=s,data=abc", "-o", "encrypt.format=aes,encrypt.key-secret=s"], "is encrypted"),
        (["-o", "data_file={}/data"], "keeps its data in another file"),
        (["-o", "compression_type=zstd,extended_l2=on,lazy_refcounts=on"], None),
        (["-o", "compat=0.10"], None),
    ],
)
def test_an_image_that_does_not_stand_by_itself_says_so(tmp_path: Path, options: list[str], why: str | None) -> None:
    image = tmp_path / "disk.qcow2"
    words = [word.format(tmp_path) for word in options]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, str(image), "8M"], check=True)
    facts = read_image_facts(image)
    assert (facts.format, facts.size_bytes) == ("qcow2", 8 * MIB)
    assert facts.unusable is None if why is None else str(facts.unusable).startswith(why)


def test_an_image_with_luks_in_its_header_is_encrypted(tmp_path: Path) -> None:
    """The header alone: to make such an image, QEMU first measures the processor, and on a busy one it gives up."""
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "8M"], check=True)
    spoil(image, 32, 2)  # crypt_method in docs/interop/qcow2.txt
    assert str(read_image_facts(image).unusable).startswith("is encrypted")


def test_an_absent_image_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=r"absent\.qcow2: No such file.*image_build"):
        read_image_facts(tmp_path / "absent.qcow2")


def test_a_directory_or_a_pipe_is_no_image_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ImageNotFound, match=r"(a directory|a FIFO), not a file"):
            read_image_facts(place)


def opened_by_qemu(image: Path) -> bool:
    words = ["qemu-img", "info", "-f", "qcow2", str(image)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def spoil(image: Path, at: int, value: int, size_bytes: int = 4) -> None:
    with image.open("r+b") as file:
        file.seek(at)
        file.write(value.to_bytes(size_bytes, "big"))


@pytest.mark.parametrize(
    ("at", "value", "size_bytes", "complaint"),
    [
        (4, 4, 4, "qcow2 version 4 is unknown"),
        (20, 8, 4, "2^8 bytes is not a valid cluster size"),
        (20, 22, 4, "2^22 bytes is not a valid cluster size"),
        (20, 2**32 - 1, 4, "bytes is not a valid cluster size"),
        (20, 9, 4, "L1 table of 1 entries is too small"),
        (20, 17, 4, "reference count table cannot be at offset 65536"),
        (24, 1 << 63, 8, "too small for 9223372036854775808 bytes"),
        (24, 600 * MIB, 8, "L1 table of 1 entries is too small"),
        (36, 0, 4, "L1 table of 0 entries is too small"),
        (36, (4 * MIB) + 1, 4, "L1 table of 33554440 bytes is too large"),
        (40, 0x30200, 8, "L1 table cannot be at offset 197120"),
        (40, 1 << 63, 8, "L1 table cannot be at offset"),
        (48, 0x10001, 8, "reference count table cannot be at offset 65537"),
        (56, 0, 4, "no reference count table"),
        (56, 129, 4, "reference count table of 8454144 bytes is too large"),
        (60, 65537, 4, "no room for 65537 snapshots"),
        (64, 7, 8, "no room for 0 snapshots"),
        (96, 7, 4, "reference counts have 2^7 bits"),
        (100, 0, 4, "0 bytes is not a valid header length"),
        (100, 111, 4, "111 bytes is not a valid header length"),
        (100, 0x10008, 4, "65544 bytes is not a valid header length"),
        (116, 1 << 31, 4, "extension extends beyond the header"),
        (8, 65537, 8, "backing file"),
    ],
)
def test_a_header_that_qemu_does_not_open_is_damaged(
    tmp_path: Path, at: int, value: int, size_bytes: int, complaint: str
) -> None:
    image = qemu_img_create(tmp_path / "disk", "64M")
    assert opened_by_qemu(image)
    spoil(image, at, value, size_bytes)
    assert not opened_by_qemu(image)
    with pytest.raises(ImageNotFound, match=rf"is damaged: .*{re.escape(complaint)}"):
        read_image_facts(image)


def test_an_image_of_version_1_is_of_another_format(tmp_path: Path) -> None:
    image = qemu_img_create(tmp_path / "disk", "64M")
    spoil(image, 4, 1)
    assert not opened_by_qemu(image)
    assert read_image_facts(image).format == "qcow"


@pytest.mark.parametrize(
    ("at", "value", "size_bytes", "unusable"),
    [
        (40, 1 << 56, 8, "truncated"),
        (48, 1 << 24, 8, "truncated"),
        (24, 64 * MIB - 100, 8, "qemu-img resize -f qcow2 {path} 67108864"),
        (104, 1, 1, "compression 1"),
        (104, 2, 1, "compression 2"),
    ],
)
def test_a_header_that_no_layer_can_stand_on_says_why(
    tmp_path: Path, at: int, value: int, size_bytes: int, unusable: str
) -> None:
    image = qemu_img_create(tmp_path / "disk", "64M")
    spoil(image, at, value, size_bytes)
    assert unusable in str(read_image_facts(image).unusable)


def test_an_uneven_size_is_gone_after_the_command_that_is_named(tmp_path: Path) -> None:
    image = qemu_img_create(tmp_path / "disk", "64M")
    spoil(image, 24, 64 * MIB - 100, 8)
    command = re.search("`(.*)`", str(read_image_facts(image).unusable))
    assert command is not None
    subprocess.run(command[1].format(path=image).split(), check=True, capture_output=True)
    assert read_image_facts(image) == ImageFacts("qcow2", 64 * MIB)


def test_a_header_without_room_for_extensions_is_read(tmp_path: Path) -> None:
    """`qemu-img create` always writes some; other programs need not."""
    image = qemu_img_create(tmp_path / "disk", "64M")
    with image.open("r+b") as file:
        file.seek(104)
        file.write(bytes(4096 - 104))
    spoil(image, 100, 104)
    assert opened_by_qemu(image)
    assert read_image_facts(image) == ImageFacts("qcow2", 64 * MIB)


def test_every_cut_of_a_real_header_is_an_answer_or_a_damaged_image(tmp_path: Path) -> None:
    base = qemu_img_create(tmp_path / "base.qcow2", "64M")
    head = qemu_img_create(tmp_path / "top.qcow2", "-b", str(base), "-F", "qcow2", "64M").read_bytes()[:1024]
    for length in range(len(head)):
        (tmp_path / "cut").write_bytes(head[:length])
        try:
            facts = read_image_facts(tmp_path / "cut")
        except ImageNotFound:
            continue
        assert facts == ImageFacts("qcow2", 64 * MIB, str(base), "qcow2", facts.unusable) or length < 4
        assert length >= 4 or facts.format in {"raw", "text"}


qcow2_heads = st.builds(
    lambda fields, rest: struct.pack(">4sIQIIQ", b"QFI\xfb", *fields) + rest,
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 600) | st.integers(0, 2**64 - 1),
        st.integers(0, 300) | st.integers(0, 2**32 - 1),
        st.integers(0, 40) | st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
    ),
    st.binary(max_size=600),
)


@given(st.binary(max_size=600) | qcow2_heads)
@example(b"QFI\xfb")
def test_any_bytes_give_facts_or_a_value_error(head: bytes) -> None:
    assert 0 <= header_span(head) <= max(len(head), 2 * MIB)
    try:
        facts = parse_header(head, len(head))
    except ValueError:
        return
    assert facts.size_bytes >= 0
    assert facts.backing is None or 0 < len(facts.backing) <= 1023
