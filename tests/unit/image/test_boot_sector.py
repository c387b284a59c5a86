import struct

import pytest

from reconciler.image.boot_sector import PARTITION_OFFSET_BYTES, SECTOR_BYTES, render_boot_area

DISK_BYTES = 64 * 1024**2
BOOT_IMG = bytes(range(256)) * 2


def core_img(sectors: int, *, start: int = 2, announced: int | None = None) -> bytes:
    """A core image as `grub-mkimage` leaves it: the block list in the first sector's end."""
    head = bytes(SECTOR_BYTES - 12) + struct.pack("<QHH", start, sectors - 1 if announced is None else announced, 0x820)
    return head + b"\xab" * (SECTOR_BYTES * (sectors - 1))


def test_the_area_is_the_boot_sector_followed_by_the_core_byte_for_byte() -> None:
    core = core_img(10)
    area = render_boot_area(BOOT_IMG, core, DISK_BYTES)
    assert area[SECTOR_BYTES:] == core
    assert area[SECTOR_BYTES - 2 : SECTOR_BYTES] == b"\x55\xaa"


def test_the_partition_is_active_and_reaches_from_the_first_mebibyte_to_the_disks_end() -> None:
    entry = render_boot_area(BOOT_IMG, core_img(10), DISK_BYTES)[446:462]
    active, kind = entry[0], entry[4]
    first, sectors = struct.unpack("<II", entry[8:])
    assert (active, kind) == (0x80, 0x83)
    assert first * SECTOR_BYTES == PARTITION_OFFSET_BYTES
    assert (first + sectors) * SECTOR_BYTES == DISK_BYTES


def test_the_boot_code_is_kept_except_for_the_drive_check() -> None:
    area = render_boot_area(BOOT_IMG, core_img(10), DISK_BYTES)
    assert area[:0x66] == BOOT_IMG[:0x66]
    assert area[0x66:0x68] == b"\x90\x90"
    assert area[0x68:440] == BOOT_IMG[0x68:440]


def test_the_core_may_not_reach_into_the_file_system() -> None:
    largest = PARTITION_OFFSET_BYTES // SECTOR_BYTES - 1
    assert len(render_boot_area(BOOT_IMG, core_img(largest), DISK_BYTES)) == PARTITION_OFFSET_BYTES
    with pytest.raises(ValueError, match="does not fit"):
        render_boot_area(BOOT_IMG, core_img(largest + 1), DISK_BYTES)


@pytest.mark.parametrize(
    "core",
    [
        pytest.param(core_img(10, start=5), id="that lies elsewhere"),
        pytest.param(core_img(10, announced=4), id="of which a part would not be loaded"),
        pytest.param(b"", id="that is empty"),
    ],
)
def test_a_core_is_refused(core: bytes) -> None:
    with pytest.raises(ValueError, match="core image"):
        render_boot_area(BOOT_IMG, core, DISK_BYTES)


def test_a_boot_sector_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="boot sector"):
        render_boot_area(BOOT_IMG + b"x", core_img(10), DISK_BYTES)
