# ruff: noqa: ASYNC221, ASYNC240  (nothing else runs on the loop of these tests)

import asyncio
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, ImageNotFound, OperationFailed
from reconciler.files import space
from reconciler.files.marked_files import second_name
from reconciler.files.ownership import OwnedKind, OwnerMark, write_mark
from reconciler.files.space import free_bytes
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.layers import (
    LayerDriver,
    delete_layer,
    grow_image,
    observe_layers,
)
from reconciler.model.document import Layer, Unknown
from reconciler.model.names import cluster_dir, layer_path

MIB = 1 << 20
CLUSTER = "demo"


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    return tmp_path / "overlays"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    return path


@pytest.fixture
def driver() -> LayerDriver:
    return LayerDriver()


def overlay_of(base: Path, node: str = "n1") -> Layer:
    return Layer(node=node, disk="vda", size_bytes=64 * MIB, backing=base, backing_format="qcow2")


def path_of(overlays: Path, node: str = "n1") -> Path:
    return layer_path(overlays, CLUSTER, node, "vda", 0)


async def test_a_made_overlay_is_observed_as_desired(driver: LayerDriver, overlays: Path, base: Path) -> None:
    await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    assert observe_layers(overlays, CLUSTER) == {str(path_of(overlays)): overlay_of(base)}


async def test_every_overlay_of_many_is_sound_for_qemu(driver: LayerDriver, overlays: Path, base: Path) -> None:
    nodes = [f"n{number}" for number in range(8)]
    await asyncio.gather(
        *(driver.create_layer(path_of(overlays, node), overlay_of(base, node), cluster=CLUSTER) for node in nodes)
    )
    made = {path_of(overlays, node).read_bytes() for node in nodes}
    assert len(made) == 1
    subprocess.run(["qemu-img", "check", "-q", path_of(overlays, "n7")], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 64k", path_of(overlays, "n7")], check=True, capture_output=True)
    subprocess.run(["qemu-img", "check", "-q", path_of(overlays, "n7")], check=True)


async def test_overlays_of_different_sizes_and_images_do_not_mix(
    driver: LayerDriver, overlays: Path, base: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "base.img"
    raw.write_bytes(bytes(MIB))
    wanted = {
        path_of(overlays, "n1"): overlay_of(base, "n1"),
        path_of(overlays, "n2"): overlay_of(base, "n2").model_copy(update={"size_bytes": 96 * MIB}),
        path_of(overlays, "n3"): Layer(node="n3", disk="vda", size_bytes=MIB, backing=raw, backing_format="raw"),
    }
    await asyncio.gather(*(driver.create_layer(path, layer, cluster=CLUSTER) for path, layer in wanted.items()))
    assert observe_layers(overlays, CLUSTER) == {str(path): layer for path, layer in wanted.items()}


async def test_making_a_layer_again_keeps_what_a_guest_wrote(driver: LayerDriver, overlays: Path, base: Path) -> None:
    path = path_of(overlays)
    await driver.create_layer(path, overlay_of(base), cluster=CLUSTER)
    subprocess.run(["qemu-io", "-c", "write -P 7 0 64k", path], check=True, capture_output=True)
    written = path.read_bytes()
    await driver.create_layer(path, overlay_of(base), cluster=CLUSTER)
    assert path.read_bytes() == written


async def test_a_layer_with_other_properties_is_a_conflict_that_says_which(
    driver: LayerDriver, overlays: Path, base: Path
) -> None:
    await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    larger = overlay_of(base).model_copy(update={"size_bytes": 96 * MIB})
    with pytest.raises(Conflict, match=f"size_bytes is {64 * MIB} and should be {96 * MIB}"):
        await driver.create_layer(path_of(overlays), larger, cluster=CLUSTER)


async def test_a_foreign_file_in_a_layers_place_stays_untouched(
    driver: LayerDriver, overlays: Path, base: Path
) -> None:
    path = path_of(overlays)
    path.parent.mkdir(parents=True)
    path.write_bytes(base.read_bytes())
    with pytest.raises(Conflict, match="was left alone"):
        await driver.create_layer(path, overlay_of(base), cluster=CLUSTER)
    with pytest.raises(Conflict, match="was left alone"):
        delete_layer(path, CLUSTER)
    found = observe_layers(overlays, CLUSTER)[str(path)]
    assert isinstance(found, Unknown)
    assert (found.code, found.terminal) == (ErrorCode.CONFLICT, True)
    assert path.read_bytes() == base.read_bytes()


async def test_a_layer_of_another_cluster_is_not_ours(driver: LayerDriver, base: Path, tmp_path: Path) -> None:
    disk = Layer(node="n1", disk="vdb", size_bytes=MIB)
    await driver.create_layer(tmp_path / "data.qcow2", disk, cluster="other")
    found = observe_layers(tmp_path, CLUSTER, [tmp_path / "data.qcow2"])[str(tmp_path / "data.qcow2")]
    assert isinstance(found, Unknown)
    with pytest.raises(Conflict):
        delete_layer(tmp_path / "data.qcow2", CLUSTER)


async def test_an_extra_disk_is_made_observed_and_deleted_at_its_path(driver: LayerDriver, tmp_path: Path) -> None:
    path, disk = tmp_path / "data.qcow2", Layer(node="n1", disk="vdb", size_bytes=20 << 30)
    await driver.create_layer(path, disk, cluster=CLUSTER)
    assert observe_layers(tmp_path / "overlays", CLUSTER, [path]) == {str(path): disk}
    assert delete_layer(path, CLUSTER)
    assert not delete_layer(path, CLUSTER)
    assert observe_layers(tmp_path / "overlays", CLUSTER, [path]) == {}


async def test_a_disk_for_several_nodes_is_a_sparse_raw_file(driver: LayerDriver, tmp_path: Path) -> None:
    path = tmp_path / "shared.raw"
    layer = Layer(node="n1", disk="vdb", size_bytes=64 * MIB, format="raw")
    await driver.create_layer(path, layer, cluster=CLUSTER)
    await driver.create_layer(path, layer.model_copy(update={"node": "n2"}), cluster=CLUSTER)
    assert path.stat().st_size == 64 * MIB
    assert path.stat().st_blocks * 512 < MIB
    with path.open("r+b") as file:
        file.write(b"QFI\xfb\0\0\0\3")  # what a guest writes is not looked at
    assert observe_layers(tmp_path, CLUSTER, [path]) == {str(path): layer}
    with pytest.raises(Conflict, match="format is raw and should be qcow2"):
        await driver.create_layer(path, layer.model_copy(update={"format": "qcow2"}), cluster=CLUSTER)
    assert delete_layer(path, CLUSTER)


async def test_the_directory_of_an_extra_disk_is_the_users_to_make(driver: LayerDriver, tmp_path: Path) -> None:
    path = tmp_path / "disks" / "data.qcow2"
    with pytest.raises(OperationFailed, match=rf"create the directory {path.parent} first"):
        await driver.create_layer(path, Layer(node="n1", disk="vdb", size_bytes=MIB), cluster=CLUSTER)
    assert not path.parent.exists()


async def test_making_an_overlay_changes_nothing_of_its_base_image(
    driver: LayerDriver, overlays: Path, base: Path
) -> None:
    base.chmod(0o444)
    before, content = base.stat(), base.read_bytes()
    await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    delete_layer(path_of(overlays), CLUSTER)
    after = base.stat()
    for property_ in ("st_ino", "st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"):
        assert getattr(after, property_) == getattr(before, property_), property_
    assert base.read_bytes() == content
    assert os.listxattr(base) == []


async def test_an_overlay_on_a_missing_or_different_image_is_refused(
    driver: LayerDriver, overlays: Path, base: Path
) -> None:
    with pytest.raises(ImageNotFound, match="absent"):
        await driver.create_layer(path_of(overlays), overlay_of(base.with_name("absent")), cluster=CLUSTER)
    base.write_bytes(bytes(MIB))
    with pytest.raises(ImageNotFound, match="is raw and should be qcow2"):
        await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    assert observe_layers(overlays, CLUSTER) == {}


async def test_a_layer_is_private_in_a_directory_that_qemu_can_pass(
    driver: LayerDriver, overlays: Path, base: Path
) -> None:
    await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    assert stat.S_IMODE(path_of(overlays).stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster_dir(overlays, CLUSTER).stat().st_mode) == 0o711


async def test_a_full_file_system_is_refused_before_anything_is_made(
    driver: LayerDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "RESERVE_BYTES", free_bytes(tmp_path) + (1 << 40))
    with pytest.raises(OperationFailed, match=r"only \d+ MiB are free"):
        await driver.create_layer(tmp_path / "d.qcow2", Layer(node="n1", disk="vdb", size_bytes=MIB), cluster=CLUSTER)
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_layer_is_unknown_and_not_absent(driver: LayerDriver, overlays: Path, base: Path) -> None:
    path = path_of(overlays)
    await driver.create_layer(path, overlay_of(base), cluster=CLUSTER)
    os.truncate(path, 40)
    found = observe_layers(overlays, CLUSTER)[str(path)]
    assert isinstance(found, Unknown)
    assert found.code is ErrorCode.IMAGE_NOT_FOUND


async def test_files_beside_the_layers_are_not_observed(driver: LayerDriver, overlays: Path, base: Path) -> None:
    await driver.create_layer(path_of(overlays), overlay_of(base), cluster=CLUSTER)
    for name in ("n1.seed.iso", "n1.console.log", "notes.qcow2", second_name(path_of(overlays)).name):
        (cluster_dir(overlays, CLUSTER) / name).write_bytes(b"")
    assert list(observe_layers(overlays, CLUSTER)) == [str(path_of(overlays))]


def test_a_cluster_without_a_directory_has_no_layers(tmp_path: Path) -> None:
    assert observe_layers(tmp_path / "absent", CLUSTER) == {}


def test_a_directory_that_cannot_be_listed_is_an_error_and_not_an_empty_cluster(tmp_path: Path) -> None:
    (tmp_path / CLUSTER).symlink_to(tmp_path / CLUSTER)
    with pytest.raises(OperationFailed, match="cannot list"):
        observe_layers(tmp_path, CLUSTER)


@pytest.fixture
def unprivileged_dir() -> Iterator[Path]:
    """A directory of a user who may read only what modes allow, which this process is meanwhile."""
    maker = os.geteuid()
    user = maker or 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chown(directory, user, -1)
        os.seteuid(user)
        try:
            yield Path(directory)
        finally:
            os.seteuid(maker)


def test_a_layer_that_cannot_be_read_is_unknown(unprivileged_dir: Path) -> None:
    path = path_of(unprivileged_dir)
    path.parent.mkdir()
    path.write_bytes(b"")
    write_mark(path, OwnerMark(cluster=CLUSTER, node="n1", kind=OwnedKind.LAYER))
    path.chmod(0)
    found = observe_layers(unprivileged_dir, CLUSTER)[str(path)]
    assert isinstance(found, Unknown)
    assert not found.terminal
    assert "let this user read it" in found.unknown


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
