"""Templates appear whole, are never used damaged, and leave nothing of an interrupted build behind."""

import fcntl
import os
from pathlib import Path

import pytest

from reconciler.host.disks.image_file import image_identity
from reconciler.model.document import TemplateSpec
from reconciler.templates import template_cache
from reconciler.templates.template_cache import Template, TemplateCache

EMULATOR = "9000000 7002000"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "base.qcow2"
    path.write_bytes(b"image")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> TemplateCache:
    cache = TemplateCache(tmp_path / "templates")
    cache.open()
    return cache


def spec_of(image: Path, memory_mb: int = 512) -> TemplateSpec:
    return TemplateSpec(
        image=image,
        image_format="qcow2",
        image_identity=image_identity(image),
        root_bytes=8 << 30,
        vcpus=1,
        memory_mb=memory_mb,
        virt_type="qemu",
        cpu="maximum",
        boot=None,
        boot_files="",
        rendering=2,
    )


def built(cache: TemplateCache, spec: TemplateSpec) -> Template:
    prepared = cache.prepare(spec.key)
    prepared.root.write_bytes(b"root")
    prepared.memory.write_bytes(b"memory" * 1000)
    return cache.publish(prepared, spec, EMULATOR)


def test_a_published_template_is_found_by_its_state_and_listed(cache: TemplateCache, image: Path) -> None:
    spec = spec_of(image)
    assert cache.find(spec, EMULATOR) is None
    template = built(cache, spec)
    assert cache.find(spec, EMULATOR) == template
    assert cache.find(spec_of(image, 1024), EMULATOR) is None
    assert cache.find(spec, "10000000 8000000") is None, "another QEMU may not read that memory"
    (info,) = cache.listed(whole=True)
    assert (info.key, info.image, info.memory_mb, info.trouble) == (spec.key, image, 512, "")
    assert {path.stat().st_mode & 0o777 for path in (template.root, template.memory)} == {0o400}


@pytest.mark.parametrize("part", ["root", "memory"])
@pytest.mark.parametrize("damage", [b"", b"rOOt", b"longer than before"], ids=["emptied", "changed", "longer"])
def test_a_damaged_template_is_not_used_and_is_built_again(
    cache: TemplateCache, image: Path, part: str, damage: bytes
) -> None:
    spec = spec_of(image)
    path: Path = getattr(built(cache, spec), part)
    path.chmod(0o600)
    path.write_bytes(damage)
    assert cache.find(spec, EMULATOR) is None
    assert cache.listed()[0].trouble == f"damaged: {path.name}"
    assert cache.find(spec, EMULATOR) is None
    built(cache, spec)
    assert cache.find(spec, EMULATOR) is not None


def test_a_change_that_kept_size_and_time_is_found_by_reading(cache: TemplateCache, image: Path) -> None:
    memory = built(cache, spec_of(image)).memory
    before = memory.stat()
    memory.chmod(0o600)
    memory.write_bytes(b"Memory" * 1000)
    os.utime(memory, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.listed()[0].trouble == ""
    assert cache.listed(whole=True)[0].trouble == "damaged: memory"


def test_a_template_of_an_image_that_was_replaced_is_not_used(cache: TemplateCache, image: Path) -> None:
    spec = spec_of(image)
    built(cache, spec)
    image.write_bytes(b"another image")
    assert cache.find(spec, EMULATOR) is None
    assert cache.listed()[0].trouble == f"its image {image} was replaced"


def test_what_an_interrupted_build_leaves_is_no_template_and_goes_with_the_next_one(
    cache: TemplateCache, image: Path
) -> None:
    spec = spec_of(image)
    left = cache.prepare(spec.key)
    left.memory.write_bytes(b"half")
    assert cache.find(spec, EMULATOR) is None
    assert cache.listed() == []
    built(cache, spec_of(image, 1024))
    assert not left.directory.exists()


def test_a_build_that_another_process_is_busy_with_is_left_alone(cache: TemplateCache, image: Path) -> None:
    spec = spec_of(image)
    busy = cache.prepare(spec.key)
    with cache.lock_path(spec.key).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built(cache, spec_of(image, 1024))
        assert busy.directory.exists()
    built(cache, spec_of(image, 1024))
    assert not busy.directory.exists(), "a killed process holds no lock, though its file is there"


def test_templates_not_used_for_longest_make_room(
    cache: TemplateCache, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, used, new = (spec_of(image, memory_mb) for memory_mb in (256, 512, 1024))
    for age, spec in enumerate((used, old)):
        os.utime(built(cache, spec).directory / "used", (age, age))
    assert cache.find(used, EMULATOR) is not None
    each = cache.listed()[0].size_bytes
    monkeypatch.setattr(template_cache, "MOST_BYTES", each * 2)
    built(cache, new)
    assert {info.key for info in cache.listed()} == {used.key, new.key}


def test_a_removed_template_is_gone(cache: TemplateCache, image: Path) -> None:
    spec = spec_of(image)
    built(cache, spec)
    assert cache.remove(spec.key)
    assert not cache.remove(spec.key)
    assert cache.listed() == []
