from pathlib import Path

import pytest

from reconciler.errors import Conflict, HostCapabilityMissing
from reconciler.image.image_cache import ImageCache


def test_a_second_build_in_the_same_cache_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with (
        ImageCache(tmp_path).locked(),
        pytest.raises(Conflict, match="another image build"),
        ImageCache(tmp_path).locked(),
    ):
        pass
    with ImageCache(tmp_path).locked():
        pass


async def test_what_an_interrupted_build_has_left_is_removed(tmp_path: Path) -> None:
    with ImageCache(tmp_path).locked() as cache:
        (cache.new_work_dir() / "root.tar").write_bytes(b"half")
        await cache.clear_work(())
        assert list((tmp_path / "work").iterdir()) == []


async def test_a_finished_image_has_its_name_and_survives_clearing_and_pruning(tmp_path: Path) -> None:
    with ImageCache(tmp_path).locked() as cache:
        work = cache.new_work_dir()
        (work / "image.qcow2").write_bytes(b"disk")
        cache.keep_image(work, "aa")
        cache.root_tar("bb").write_bytes(b"old")
        (cache.packages_dir / "x.deb").write_bytes(b"package")
        await cache.clear_work(())
        cache.prune(keep={"aa"})
        assert (cache.image("aa") / "image.qcow2").read_bytes() == b"disk"
        assert not cache.root_tar("bb").exists()
        assert (cache.packages_dir / "x.deb").exists()


def test_too_little_space_is_said_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(HostCapabilityMissing, match=r"MiB free; building the image needs \d+ MiB"):
        ImageCache(tmp_path).require_space(1 << 60)
