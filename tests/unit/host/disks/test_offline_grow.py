"""Layers that are made larger while no machine has them open."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.files.ownership import OwnedKind, OwnerMark, write_mark
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.offline_grow import grow_image

MIB = 1 << 20


def made(path: Path, *, cluster: str | None = "lab") -> Path:
    content = path.with_suffix(".raw")
    content.write_bytes(b"kept".ljust(MIB, b"\0"))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", content, path], check=True)
    if cluster is not None:
        write_mark(path, OwnerMark(cluster=cluster, node="n0", kind=OwnedKind.LAYER))
    return path


def content_of(path: Path) -> bytes:
    plain = path.with_suffix(".out")
    subprocess.run(["qemu-img", "convert", "-O", "raw", path, plain], check=True)
    return plain.read_bytes()


async def test_a_layer_becomes_larger_once_and_never_smaller_and_keeps_its_content(tmp_path: Path) -> None:
    layer = made(tmp_path / "layer.qcow2")
    for size_bytes in (3 * MIB, 3 * MIB, 2 * MIB):
        await grow_image(layer, size_bytes, cluster="lab")
        assert read_image_facts(layer).size_bytes == 3 * MIB
    assert content_of(layer) == b"kept".ljust(3 * MIB, b"\0")


@pytest.mark.parametrize("cluster", [None, "other"])
async def test_what_is_not_ours_is_left_as_it_is(tmp_path: Path, cluster: str | None) -> None:
    layer = made(tmp_path / "layer.qcow2", cluster=cluster)
    before = layer.read_bytes()
    with pytest.raises(Conflict):
        await grow_image(layer, 3 * MIB, cluster="lab")
    assert layer.read_bytes() == before
