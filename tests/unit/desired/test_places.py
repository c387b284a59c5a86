"""Disks that are one file by two names, and places where no disk can be."""

from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.errors import TopologyInvalid
from reconciler.files.cluster_directories import ensure_our_directory

from .conftest import TOPOLOGY, Load
from .files import settings_in


def with_disks(*disks: str) -> str:
    return TOPOLOGY.replace("ip: 10.7.0.10", f"ip: 10.7.0.10, extra_disks: [{', '.join(disks)}]")


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        (["{path: soft, existing: true}"], "[0].path: H/soft is the same file as base_image, which is never"),
        (["{path: hard, existing: true}"], "[0].path: H/hard is the same file as base_image, which is never"),
        (["{path: foreign.qcow2, existing: true}", "{path: other, existing: true}"],
         "[1].path: H/other is the same file as nodes[0].extra_disks[0], which is another disk"),
        (["{path: images/d, size_gb: 1}", "{path: linked/d, size_gb: 1}"],
         "[1].path: H/linked/d is the same file as nodes[0].extra_disks[0], which is another disk"),
        (["{path: images, size_gb: 1}"], "[0].path: H/images is a directory (use a file in it)"),
        (["{path: nowhere, size_gb: 1}"], "[0].path: H/nowhere exists and was not created by vmcluster"),
        (["{path: absent/d, size_gb: 1}"], "[0].path: the directory H/absent does not exist (create it: `mkdir -p"),
        (["{path: base.qcow2/d, size_gb: 1}"], "[0].path: H/base.qcow2 exists and is not a directory"),
        ([f"{{path: {'n' * 201}, size_gb: 1}}"], "[0].path: nnnnnnnnnnnnnnnnnnnn... is too long a file name"),
        (["{path: /dev/sdz, size_gb: 1}"], "[0].path: /dev belongs to the kernel and cannot hold disks"),
        (["{path: /proc/d, size_gb: 1}"], "[0].path: /proc belongs to the kernel and cannot hold disks"),
        (["{path: /etc/d.qcow2, size_gb: 1}"], "[0].path: /etc belongs to the operating system and cannot hold"),
    ],
)  # fmt: skip
def test_a_disk_where_none_can_be_is_refused(load: Load, host: Path, disks: list[str], why: str) -> None:
    (host / "soft").symlink_to("base.qcow2")
    (host / "hard").hardlink_to(host / "base.qcow2")
    (host / "other").symlink_to("foreign.qcow2")
    (host / "linked").symlink_to("images")
    (host / "nowhere").symlink_to("gone")
    with pytest.raises(TopologyInvalid) as refused:
        load(with_disks(*disks))
    assert f"nodes[0].extra_disks{why.replace('H/', f'{host}/')}" in str(refused.value)
    assert "problems" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("base.qcow2", "/base.qcow2 exists and is not a directory"),
        ("base.qcow2/x/y", "/base.qcow2 exists and is not a directory"),
        ("fifo", "/fifo exists and is not a directory"),
        ("/dev/null", "/dev/null belongs to the kernel and cannot hold disks"),
        ("/proc/x", "/proc/x belongs to the kernel and cannot hold disks"),
        ("/", "/ belongs to the operating system"),
        ("//etc", "/etc belongs to the operating system"),
        ("system/x", "/system/x belongs to the operating system"),
        ("/boot/../usr/lib/x", "/usr/lib/x belongs to the operating system"),
        ("a" * 300, "cannot be read: File name too long"),
    ],
)
def test_layers_have_to_have_a_directory(load: Load, host: Path, place: str, why: str) -> None:
    (host / "system").symlink_to("/etc")
    with pytest.raises(TopologyInvalid, match="overlay_dir: ") as refused:
        load(f"{TOPOLOGY}overlay_dir: {place}\n")
    assert why in str(refused.value)


@pytest.mark.parametrize("name", ["overlays/other/n1.console.log", "state/records.sqlite", "trees/x", "way/in"])
def test_what_vmcluster_keeps_is_no_disk(host: Path, name: str) -> None:
    kept = {"state_dir": host / "state", "artifact_store_dir": host / "trees"}
    for directory in kept.values():
        directory.mkdir()
    other = host / "overlays" / "other"
    ensure_our_directory(other, "other", None)
    (other / "snapshots").mkdir()
    (host / "way").symlink_to(other / "snapshots")
    (host / name).write_bytes(bytes(1 << 20))
    (host / "lab.yaml").write_text(with_disks(f"{{path: {name}, existing: true}}"))
    with pytest.raises(TopologyInvalid, match=r"is among the files of (vmcluster|cluster other) in"):
        load_spec(host / "lab.yaml", settings_in(host).model_copy(update=kept))


@pytest.mark.parametrize("place", ["overlays/other", "overlays/other/snapshots/new", "way", "way/further"])
def test_no_layers_are_put_among_the_files_of_a_cluster(load: Load, host: Path, place: str) -> None:
    other = host / "overlays" / "other"
    ensure_our_directory(other, "other", None)
    (other / "snapshots").mkdir()
    (host / "way").symlink_to(other / "snapshots")
    with pytest.raises(TopologyInvalid, match=r"overlay_dir: .* is among the files of cluster other in"):
        load(f"{TOPOLOGY}overlay_dir: {place}\n")


def test_a_directory_of_layers_is_made_where_it_is_missing(load: Load, host: Path) -> None:
    (host / "linked").symlink_to("images")
    for place in ("new", "new/er", "images", "linked", "/dev/shm/vmcluster-test", "/usr/local/vmcluster-test"):
        assert load(f"{TOPOLOGY}overlay_dir: {place}\n").overlay_dir
