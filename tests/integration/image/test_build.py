"""The stages after the packages, for real, on a root file system small enough to be made here."""

import asyncio
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Conflict, HostCommandFailed
from reconciler.image.boot_sector import PARTITION_OFFSET_BYTES, SECTOR_BYTES
from reconciler.image.build import ImageBuild, build_image
from reconciler.image.image_cache import ImageCache
from reconciler.image.recipe import Recipe, root_digest
from reconciler.process import run
from tests.unit.image.test_boot_sector import BOOT_IMG, core_img

RECIPE = replace(Recipe(), disk_bytes=512 * 1024**2)
FILES = {
    "./boot/vmlinuz-6.1.0-test": b"a kernel",
    "./boot/initrd.img-6.1.0-test": b"an initrd",
    "./boot/grub/boot.img": BOOT_IMG,
    "./boot/grub/core.img": core_img(20),
    "./etc/motd": b"hello\n",
}
LINKS = {"./vmlinuz": "boot/vmlinuz-6.1.0-test", "./initrd.img": "boot/initrd.img-6.1.0-test"}


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """The cache of a build that was interrupted after its packages were installed."""
    directory = tmp_path / "cache"
    directory.mkdir()
    with tarfile.open(ImageCache(directory).root_tar(root_digest(RECIPE)), "w") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mode = len(content), 0, 0o640
            archive.addfile(member, io.BytesIO(content))
        for name, link_to in LINKS.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, link_to
            archive.addfile(member)
    return directory


async def build(tmp_path: Path, cache_dir: Path, steps: list[str] | None = None) -> ImageBuild:
    def tell(step: str, _fraction: float | None) -> None:
        if steps is not None:
            steps.append(step)

    target = tmp_path / "images" / "base.qcow2"
    return await build_image(target, cache_dir=cache_dir, recipe=RECIPE, progress=tell)


async def test_a_build_goes_on_after_the_packages_and_makes_a_whole_disk(tmp_path: Path, cache_dir: Path) -> None:
    steps: list[str] = []
    built = await build(tmp_path, cache_dir, steps)
    assert steps == ["assembling the disk", "publishing", "done"]
    assert (built.kernel_version, built.reused) == ("6.1.0-test", False)
    assert built.kernel.read_bytes() == b"a kernel"
    assert built.initrd.read_bytes() == b"an initrd"
    await run(["qemu-img", "check", "-q", str(built.disk)])

    raw = tmp_path / "disk.raw"
    await run(["qemu-img", "convert", "-O", "raw", str(built.disk), str(raw)])
    assert raw.stat().st_size == RECIPE.disk_bytes
    with raw.open("rb") as disk:
        area = disk.read(PARTITION_OFFSET_BYTES)
    assert area[SECTOR_BYTES:].startswith(FILES["./boot/grub/core.img"])
    file_system = f"{raw}?offset={PARTITION_OFFSET_BYTES}"
    said = await run(["debugfs", "-R", "cat /etc/motd", file_system])
    assert said.stdout == b"hello\n"


async def test_building_again_does_nothing_and_says_so(tmp_path: Path, cache_dir: Path) -> None:
    first = await build(tmp_path, cache_dir)
    before = first.disk.stat()
    steps: list[str] = []
    second = await build(tmp_path, cache_dir, steps)
    assert (steps, second.reused) == (["unchanged"], True)
    assert first.disk.stat() == before


async def test_a_lost_file_comes_back_from_the_cache_without_a_new_disk(tmp_path: Path, cache_dir: Path) -> None:
    first = await build(tmp_path, cache_dir)
    first.kernel.unlink()
    steps: list[str] = []
    second = await build(tmp_path, cache_dir, steps)
    assert steps == ["publishing", "done"]
    assert second.kernel.read_bytes() == b"a kernel"


async def test_a_build_leaves_no_work_behind(tmp_path: Path, cache_dir: Path) -> None:
    await build(tmp_path, cache_dir)
    assert list((cache_dir / "work").iterdir()) == []


async def test_a_cancelled_build_leaves_nothing_at_its_target_and_the_next_one_succeeds(
    tmp_path: Path, cache_dir: Path
) -> None:
    task = asyncio.create_task(build(tmp_path, cache_dir))
    async with asyncio.timeout(120):
        while not list((cache_dir / "work").glob("*/root")):
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "images").exists()
    assert not (await build(tmp_path, cache_dir)).reused


async def test_a_file_of_somebody_else_at_the_target_is_kept_unless_forced(tmp_path: Path, cache_dir: Path) -> None:
    target = tmp_path / "images" / "base.qcow2"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    with pytest.raises(Conflict, match="was not created by vmcluster"):
        await build(tmp_path, cache_dir)
    assert target.read_bytes() == b"precious"


async def test_without_a_network_the_error_says_what_to_look_at_and_the_target_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(HostCommandFailed) as raised:
        await build(tmp_path, tmp_path / "empty-cache")
    assert "package archive cannot be reached" in (raised.value.hint or "")
    assert not (tmp_path / "images").exists()


async def test_the_description_carries_what_a_topology_needs_for_direct_boot(tmp_path: Path, cache_dir: Path) -> None:
    built = await build(tmp_path, cache_dir)
    said = json.loads(built.description.read_text())
    assert said["cmdline"] == built.cmdline
    assert built.cmdline.startswith("root=/dev/vda1 ")
