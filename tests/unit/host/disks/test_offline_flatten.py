# ruff: noqa: ASYNC221  (nothing else runs on the loop of these tests)

"""Flattening a layer with a real qemu-img: what it needs, and what is written down of it."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import OperationFailed
from reconciler.files.space import RESERVE_BYTES
from reconciler.host.disks import offline_flatten
from reconciler.host.disks.layers import (
    LayerDriver,
    abandon_flattening,
    begin_flattening,
    observe_layers,
)
from reconciler.host.disks.offline_flatten import flatten_offline, require_flatten_space
from reconciler.model.document import BackingFile, Layer
from reconciler.model.names import layer_path

MIB = 1 << 20
CLUSTER = "demo"


@pytest.fixture
async def chain(tmp_path: Path) -> list[Path]:
    """An image and two layers on it, of which the lower one holds 4 MiB and the upper one 1 MiB."""
    image = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True)
    files = [image]
    for depth, written in enumerate(("4M", "1M")):
        path = layer_path(tmp_path, CLUSTER, "n1", "vda", 0, depth)
        layer = Layer(node="n1", disk="vda", size_bytes=64 * MIB, backing=files[-1], backing_format="qcow2")
        await LayerDriver().create_layer(path, layer, cluster=CLUSTER)
        subprocess.run(["qemu-io", "-c", f"write -P {depth + 1} {depth * 8}M {written}", path], check=True)
        files.append(path)
    return files


def is_unfinished(layer: Path, overlays: Path) -> bool:
    found = observe_layers(overlays, CLUSTER)[str(layer)]
    assert isinstance(found, Layer)
    return found.flattening


@pytest.mark.parametrize(("copied", "needed_mb"), [(False, 4), (True, 5)])
def test_it_needs_room_for_what_is_taken_up_and_for_a_copy_where_there_is_one(
    chain: list[Path], monkeypatch: pytest.MonkeyPatch, copied: bool, needed_mb: int
) -> None:
    image, _, top = chain
    monkeypatch.setattr(offline_flatten, "free_bytes", lambda _: RESERVE_BYTES + (needed_mb + 1) * MIB)
    require_flatten_space(top, image, copied=copied)
    monkeypatch.setattr(offline_flatten, "free_bytes", lambda _: RESERVE_BYTES + needed_mb * MIB)
    with pytest.raises(OperationFailed, match=f"may take {needed_mb} MiB"):
        require_flatten_space(top, image, copied=copied)


def test_what_was_begun_and_changed_nothing_is_as_it_was_before(chain: list[Path], tmp_path: Path) -> None:
    image, lowest, top = chain
    before = observe_layers(tmp_path, CLUSTER)
    begin_flattening(top, lowest, CLUSTER)
    assert is_unfinished(top, tmp_path)
    abandon_flattening(top, image, CLUSTER)
    assert observe_layers(tmp_path, CLUSTER) == before


async def test_what_stands_on_its_new_base_is_not_given_up_but_finished(chain: list[Path], tmp_path: Path) -> None:
    image, lowest, top = chain
    begin_flattening(top, lowest, CLUSTER)
    await flatten_offline(top, BackingFile(path=image, format="qcow2"), cluster=CLUSTER)
    abandon_flattening(top, image, CLUSTER)
    assert is_unfinished(top, tmp_path)
    lowest.unlink()
    for pattern, offset, length in ((1, "0", "4M"), (2, "8M", "1M")):
        command = ["qemu-io", "-r", "-c", f"read -P {pattern} {offset} {length}", str(top)]
        assert b"failed" not in subprocess.run(command, check=True, capture_output=True).stdout
