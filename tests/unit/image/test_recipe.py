import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.image.overlay import OverlayFile, overlay_files
from reconciler.image.recipe import (
    Recipe,
    image_digest,
    render_mke2fs,
    render_mmdebstrap,
    render_overlay,
    root_digest,
)

RECIPE = Recipe()


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECIPE, packages=(*RECIPE.packages, "strace")),
        replace(RECIPE, finish=RECIPE.finish + "true\n"),
        replace(RECIPE, codename="trixie"),
        replace(RECIPE, excluded_paths=()),
    ],
)
def test_whatever_is_in_the_root_file_system_decides_both_digests(changed: Recipe) -> None:
    assert root_digest(changed) != root_digest(RECIPE)
    assert image_digest(changed) != image_digest(RECIPE)


@pytest.mark.parametrize("changed", [replace(RECIPE, disk_bytes=1 << 33 | 1 << 30), replace(RECIPE, layout_version=99)])
def test_what_only_the_disk_is_made_of_leaves_the_packages_alone(changed: Recipe) -> None:
    assert root_digest(changed) == root_digest(RECIPE)
    assert image_digest(changed) != image_digest(RECIPE)


def test_the_overlay_is_the_same_archive_each_time() -> None:
    assert render_overlay(overlay_files()) == render_overlay(overlay_files())


def test_the_overlay_belongs_to_root_and_names_each_directory_once_before_what_is_in_it() -> None:
    files = [OverlayFile("etc/a/b", b"content", 0o755), OverlayFile("etc/a/c", link_to="/dev/null")]
    with tarfile.open(fileobj=io.BytesIO(render_overlay(files))) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == ["etc", "etc/a", "etc/a/b", "etc/a/c"]
        assert {(member.uid, member.gid) for member in members} == {(0, 0)}
        assert archive.extractfile("etc/a/b").read() == b"content"  # type: ignore[union-attr]
        assert members[2].mode == 0o755
        assert members[3].linkname == "/dev/null"


def test_the_overlay_never_goes_through_a_directory_that_is_a_link_in_the_guest() -> None:
    merged = ("bin/", "lib/", "lib64/", "sbin/")
    assert [file.path for file in overlay_files() if file.path.startswith(merged)] == []


def command(**changes: object) -> list[str]:
    given = {
        "mode": "root",
        "work_dir": Path("/work"),
        "packages_dir": Path("/cache/packages"),
        "sources": None,
        "apt_options": [],
    }
    return render_mmdebstrap(RECIPE, **{**given, **changes})  # type: ignore[arg-type]


def test_without_sources_of_the_host_the_tool_uses_its_own_mirror_and_debians_keys() -> None:
    argv = command()
    assert argv[-2:] == ["bookworm", "/work/root.tar"]
    assert any(argument.startswith("--keyring=") for argument in argv)


def test_the_hosts_sources_and_proxy_are_passed_on() -> None:
    argv = command(sources=Path("/work/sources.list"), apt_options=['Acquire::http::Proxy "http://cache.example";'])
    assert argv[-1] == "/work/sources.list"
    assert '--aptopt=Acquire::http::Proxy "http://cache.example";' in argv
    assert not any(argument.startswith("--keyring=") for argument in argv)


def test_a_cache_directory_with_a_space_in_its_name_stays_one_word_in_the_hooks() -> None:
    argv = command(packages_dir=Path("/a b/packages"), work_dir=Path("/a b/work"))
    hooks = [argument for argument in argv if "-hook=" in argument and "/a b" in argument]
    assert len(hooks) == 4
    assert all("'/a b/" in hook for hook in hooks)


def test_the_file_system_fills_the_disk_behind_the_boot_area() -> None:
    argv = render_mke2fs(RECIPE, root_dir=Path("/r"), disk=Path("/d"))
    assert argv[-3:] == ["/r", "/d", f"{(RECIPE.disk_bytes - 1024**2) // 1024}k"][-3:]
    assert any("offset=1048576" in argument for argument in argv)
