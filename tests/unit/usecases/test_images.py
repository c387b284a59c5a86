"""The guest image, as front ends ask for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest

from reconciler.errors import Conflict, HostCapabilityMissing, StoreUnavailable
from reconciler.image import build
from reconciler.image.image_cache import ImageCache
from reconciler.image.published import ImageFiles, describe
from reconciler.image.recipe import Recipe, image_digest
from reconciler.model.named_image import BuiltImage
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.store.host_lease import HostLease
from reconciler.usecases.images import build_guest_image
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import stand_on
from tests.unit.store.test_database import altered as altered_rows

Build = Callable[..., Awaitable[BuiltImage]]
During = list[Callable[[], Awaitable[None]]]


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = Settings(
        state_dir=tmp_path / "state",
        overlay_dir=tmp_path / "overlays",
        template_dir=tmp_path / "templates",
        libvirt_uri=silent_libvirt(tmp_path),
    )
    async with Runtime(settings) as opened:
        yield opened


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> During:
    """What happens while the packages are installed, in whose place a disk is made that says how many there were."""
    happens: During = []
    number = iter(range(1, 100))

    async def make(cache: ImageCache, recipe: Recipe, _: object, *, force: bool) -> ImageFiles:
        for one in happens:
            await one()
        files = ImageFiles.beside(cache.new_work_dir() / "image.qcow2")
        for path in files.parts().values():
            path.write_text(f"image {next(number) if force else 0}")
        describe(files, image_digest(recipe), "6.1.0", "")
        return files

    monkeypatch.setattr(build, "_image", make)
    return happens


@pytest.fixture
def built(runtime: Runtime, tmp_path: Path, during: During) -> Build:
    async def built(**how: bool) -> BuiltImage:
        target = tmp_path / "images" / "base.qcow2"
        return await build_guest_image(runtime, target, report=print, cache_dir=tmp_path / "cache", **how)

    return built


async def test_no_image_is_rebuilt_below_disks(runtime: Runtime, built: Build, during: During) -> None:
    image = await built()
    await stand_on(runtime, image.disk)
    during.append(lambda: pytest.fail("nothing is built in vain"))
    with pytest.raises(Conflict, match="node zeta of cluster lab, node alpha of cluster lab stand on"):
        await built(force=True)
    assert image.disk.read_text() == "image 0"


async def test_no_image_is_rebuilt_while_a_cluster_cannot_be_read_that_may_stand_on_it(
    runtime: Runtime, built: Build
) -> None:
    image = await built()
    await stand_on(runtime, image.disk)
    altered_rows(runtime.settings.state_dir / "records.sqlite", "UPDATE record SET document = '{}'")
    with pytest.raises(StoreUnavailable, match="record of cluster lab cannot be read"):
        await built(force=True)
    assert image.disk.read_text() == "image 0"


async def test_a_first_image_is_built_by_someone_who_may_not_have_the_lease_of_the_host(
    built: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> NoReturn:
        raise StoreUnavailable("the lease of this host cannot be taken")

    monkeypatch.setattr(HostLease, "turn", refused)
    assert (await built()).disk.read_text() == "image 0"


async def test_no_image_is_rebuilt_below_disks_that_were_made_during_the_build(
    runtime: Runtime, built: Build, during: During
) -> None:
    image = await built()
    during.append(lambda: stand_on(runtime, image.disk))
    with pytest.raises(Conflict, match="stand on"):
        await built(force=True)
    assert image.disk.read_text() == "image 0"
    assert sorted(path.suffix for path in image.disk.parent.iterdir()) == [".initrd", ".json", ".qcow2", ".vmlinuz"]


async def test_a_file_that_is_lost_beside_an_image_in_use_comes_back(runtime: Runtime, built: Build) -> None:
    image = await built()
    await stand_on(runtime, image.disk)
    image.kernel.unlink()
    assert (await built()).kernel.read_text() == "image 0"


async def test_a_file_that_appears_at_the_target_during_the_build_stays(
    built: Build, during: During, tmp_path: Path
) -> None:
    target = tmp_path / "images" / "base.qcow2"
    target.parent.mkdir()

    async def create() -> None:
        target.write_text("mine")

    during.append(create)
    with pytest.raises(Conflict, match=r"base\.qcow2 was not created by vmcluster"):
        await built()
    assert [path.name for path in target.parent.iterdir()] == ["base.qcow2"]
    assert target.read_text() == "mine"


async def test_a_cache_that_cannot_be_made_is_named_with_a_remedy(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostCapabilityMissing, match="Not a directory") as caught:
        await build_guest_image(runtime, tmp_path / "base.qcow2", report=print, cache_dir=tmp_path / "file" / "cache")
    assert caught.value.hint is not None
    assert str(tmp_path / "file") in caught.value.message
