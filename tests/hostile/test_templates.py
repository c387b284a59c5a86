"""Templates that somebody else put or changed: none is used, and none keeps anybody from the others."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Conflict, InvalidArgument
from reconciler.files.roots import place_at
from reconciler.settings import Settings
from reconciler.templates.template_cache import TemplateCache
from reconciler.usecases.transfers import require_not_kept
from tests.unit.templates.test_template_cache import EMULATOR, built, cache, image, spec_of

__all__ = ["cache", "image"]

_NOBODY = 65534
_STRANGE_KEY = "0123456789abcdef"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


MANIFESTS: dict[str, Callable[[Path], object]] = {
    "a pipe": pipe,
    "a directory": lambda path: path.mkdir(),
    "a link in a circle": lambda path: path.symlink_to(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a file of a terabyte": huge,
    "nested too deeply": lambda path: path.write_text("[" * 60_000),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("make", MANIFESTS.values(), ids=MANIFESTS)
def test_what_is_no_template_is_passed_over(cache: TemplateCache, image: Path, make: Callable[[Path], object]) -> None:
    (cache.directory / _STRANGE_KEY).mkdir()
    make(cache.directory / _STRANGE_KEY / "template.json")
    spec = spec_of(image)
    built(cache, spec)
    assert [info.key for info in cache.listed(whole=True)] == [spec.key]
    assert cache.find(spec, EMULATOR) is not None
    shutil.rmtree(cache.directory / spec.key)
    (cache.directory / _STRANGE_KEY).rename(cache.directory / spec.key)
    assert cache.find(spec, EMULATOR) is None


@pytest.mark.parametrize("name", [b"a\xff", b"x", b"..x", b"UPPER0123456789a", b"a" * 200, b"\x1b[2J"])
def test_no_other_name_is_a_templates(cache: TemplateCache, image: Path, name: bytes) -> None:
    template = built(cache, spec_of(image))
    shutil.copytree(template.directory, cache.directory / os.fsdecode(name))
    assert [info.key for info in cache.listed()] == [template.directory.name]


@pytest.mark.parametrize("lost", ["used", "root.qcow2", "memory"])
def test_a_template_that_has_lost_a_file_is_still_listed(cache: TemplateCache, image: Path, lost: str) -> None:
    (built(cache, spec_of(image)).directory / lost).unlink()
    (info,) = cache.listed()
    assert info.trouble == ("" if lost == "used" else f"damaged: {lost}")


@pytest.mark.parametrize("of", ["the cache", "the template", "a directory above"])
@pytest.mark.parametrize("way", ["writable", "of another user", "behind another user's link"])
def test_no_template_is_used_that_other_users_can_change(cache: TemplateCache, image: Path, of: str, way: str) -> None:
    if os.geteuid() != 0 and way != "writable":
        pytest.skip("only root gives files to others")
    spec = spec_of(image)
    template = built(cache, spec)
    places = {"the cache": cache.directory, "the template": template.directory, "a directory above": image.parent}
    place = places[of]
    if way == "writable":
        place.chmod(0o777)
    elif way == "of another user":
        os.chown(place, _NOBODY, _NOBODY)
    else:
        moved = place.with_name("moved")
        place.rename(moved)
        place.symlink_to(moved)
        os.lchown(place, _NOBODY, _NOBODY)
    with pytest.raises(Conflict, match="could be replaced"):
        cache.find(spec, EMULATOR)
    assert all("could be replaced" in info.trouble for info in cache.listed())


def test_a_manifest_of_a_stranger_makes_no_template_of_other_files(cache: TemplateCache, image: Path) -> None:
    spec = spec_of(image)
    template = built(cache, spec)
    manifest = json.loads((template.directory / "template.json").read_text())
    manifest["spec"]["image"] = "/etc/passwd"
    (template.directory / "template.json").write_text(json.dumps(manifest))
    assert cache.find(spec, EMULATOR) is None
    assert cache.listed()[0].trouble


@pytest.mark.parametrize("below", ["", _STRANGE_KEY, f"{_STRANGE_KEY}/memory", ".prepared-x/root.qcow2"])
def test_no_copy_from_a_node_becomes_a_template(tmp_path: Path, below: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "link").symlink_to("templates")
    settings = Settings(template_dir=tmp_path / "templates", state_dir=tmp_path / "state")
    for way in ("templates", "link") if below else ("templates",):
        with pytest.raises(InvalidArgument, match="is among the files that vmcluster keeps"):
            require_not_kept(place_at(tmp_path / way / below), settings)


@pytest.mark.parametrize("name", ["debian-12.qcow2", "debian-12.json", "new.qcow2"])
def test_no_copy_from_a_node_becomes_an_image_or_says_where_one_is_from(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    settings = Settings(image_dir=tmp_path / "images", state_dir=tmp_path / "state")
    for way in ("images", "link"):
        with pytest.raises(InvalidArgument, match="is among the files that vmcluster keeps"):
            require_not_kept(place_at(tmp_path / way / name), settings)


@pytest.mark.parametrize("key", ["store_ca_file", "store_cert_file", "store_key_file", "store_password_file"])
def test_no_copy_from_a_node_takes_the_place_of_what_the_store_is_reached_with(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("secret")
    settings = Settings.model_validate({key: tmp_path / "file", "state_dir": tmp_path / "state"})
    with pytest.raises(InvalidArgument, match="is among the files that vmcluster keeps"):
        require_not_kept(place_at(tmp_path / "file"), settings)
