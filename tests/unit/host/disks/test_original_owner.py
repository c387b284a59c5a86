# ruff: noqa: ASYNC240  (nothing else runs on the loop of these tests)

"""Whose a file was that QEMU's user has, from the marks of the layers on it."""

import os
import pwd
from pathlib import Path

import pytest

from reconciler.host.disks import original_owner
from reconciler.host.disks.layers import LayerDriver, begin_flattening, observe_layers
from reconciler.host.disks.original_owner import reowned_file, restore_owner
from reconciler.model.account import Account
from reconciler.model.document import Layer, ReownedFile
from reconciler.model.names import layer_path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

CLUSTER = "demo"
OWNER, GROUP, QEMU = 4242, 4343, 4444


@pytest.fixture(autouse=True)
def qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of QEMU's that no machine of this host has."""
    account = Account("qemu", QEMU, frozenset())
    monkeypatch.setattr(original_owner, "qemu_account", lambda: account)
    assert QEMU not in {entry.pw_uid for entry in pwd.getpwall()}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.raw"
    path.write_bytes(bytes(1 << 20))
    os.chown(path, OWNER, GROUP)
    return path


async def on_top(file: Path, overlays: Path, revision: int = 0, *, depth: int = 0, disk: str = "vdb") -> Path:
    path = layer_path(overlays, CLUSTER, "n1", disk, revision, depth)
    file_format = "raw" if file.suffix == ".raw" else "qcow2"
    layer = Layer(node="n1", disk=disk, size_bytes=1 << 20, backing=file, backing_format=file_format)
    await LayerDriver().create_layer(path, layer, cluster=CLUSTER)
    return path


def reowned_below(path: Path, overlays: Path) -> ReownedFile | None:
    layer = observe_layers(overlays, CLUSTER)[str(path)]
    assert isinstance(layer, Layer)
    return layer.reowned


async def test_a_file_is_lent_while_qemu_has_it_and_goes_back_to_whom_it_was(mine: Path, tmp_path: Path) -> None:
    layer = await on_top(mine, tmp_path)
    assert reowned_below(layer, tmp_path) is None
    os.chown(mine, QEMU, QEMU)
    found = reowned_below(layer, tmp_path)
    assert found == ReownedFile(path=mine, inode=mine.stat().st_ino, uid=OWNER, gid=GROUP)
    restore_owner(found)
    assert (mine.stat().st_uid, mine.stat().st_gid) == (OWNER, GROUP)
    assert reowned_below(layer, tmp_path) is None


async def test_a_layer_that_is_made_while_it_is_lent_learns_of_its_owner_from_another(
    mine: Path, tmp_path: Path
) -> None:
    await on_top(mine, tmp_path)
    os.chown(mine, QEMU, QEMU)
    found = reowned_below(await on_top(mine, tmp_path, revision=1), tmp_path)
    assert found is not None
    assert (found.uid, found.gid) == (OWNER, GROUP)


async def test_a_layer_that_takes_up_the_one_which_knows_the_owner_knows_it_too(mine: Path, tmp_path: Path) -> None:
    lower = await on_top(mine, tmp_path)
    upper = await on_top(lower, tmp_path, depth=1)
    os.chown(mine, QEMU, QEMU)
    assert reowned_below(upper, tmp_path) is None
    begin_flattening(upper, lower, CLUSTER)
    assert reowned_below(upper, tmp_path) == reowned_below(lower, tmp_path) is not None


async def test_what_its_owner_gave_to_somebody_else_is_not_taken_back(mine: Path, tmp_path: Path) -> None:
    layer = await on_top(mine, tmp_path)
    os.chown(mine, OWNER + 1, GROUP)
    assert reowned_below(layer, tmp_path) is None


async def test_a_file_that_stands_in_the_place_of_the_lent_one_is_not_touched(mine: Path, tmp_path: Path) -> None:
    layer = await on_top(mine, tmp_path)
    os.chown(mine, QEMU, QEMU)
    found = reowned_below(layer, tmp_path)
    assert found is not None
    mine.rename(tmp_path / "old.raw")
    mine.write_bytes(b"")
    os.chown(mine, QEMU, QEMU)
    assert reowned_below(layer, tmp_path) is None
    restore_owner(found)
    assert mine.stat().st_uid == QEMU


async def test_a_base_image_is_never_lent(mine: Path, tmp_path: Path) -> None:
    layer = await on_top(mine, tmp_path, disk="vda")
    os.chown(mine, QEMU, QEMU)
    assert reowned_below(layer, tmp_path) is None


@pytest.mark.parametrize(
    "noted",
    ["", "x", "1:2:3", "a:b:c:/d", "1:2:3:d", "1:2:3:/\0", "-1:2:3:/d", "4294967295:2:3:/d", "9" * 99],
)
def test_an_owner_that_nobody_could_have_noted_is_none(noted: str) -> None:
    assert reowned_file({"owner": noted}) is None
