"""Who writes to an image, from its locks."""

import fcntl
import struct
from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.host.disks.layers import delete_layer
from reconciler.host.disks.write_locks import is_written_to

WRITER, READER = 101, 100


def lock(file: int, byte: int) -> None:
    """What QEMU does: a shared lock on the byte that stands for a permission."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, byte, 1, 0))


@pytest.mark.parametrize(("byte", "written"), [(WRITER, True), (READER, False)])
def test_an_image_is_written_to_by_the_holder_of_its_lock(tmp_path: Path, byte: int, written: bool) -> None:
    image = tmp_path / "image"
    image.touch()
    with image.open("rb") as opened:
        lock(opened.fileno(), byte)
        assert is_written_to(image) is written
    assert not is_written_to(image)


def test_a_file_that_is_not_there_is_written_to_by_nobody(tmp_path: Path) -> None:
    assert not is_written_to(tmp_path / "none")


def test_a_layer_that_is_written_to_is_not_deleted(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.touch()
    with layer.open("rb") as opened:
        lock(opened.fileno(), WRITER)
        with pytest.raises(Conflict, match="writes to it"):
            delete_layer(layer, "c")
    assert layer.exists()
