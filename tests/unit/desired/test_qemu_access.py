"""What is said of files that QEMU's user cannot open, whatever the caller can."""

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.account import Account

from .conftest import TOPOLOGY
from .test_host_checks import SEEN, refusal

NOBODY = Account("nobody", pwd.getpwnam("nobody").pw_uid, frozenset({pwd.getpwnam("nobody").pw_gid}))
SEEN_BY_NOBODY = replace(SEEN, qemu=NOBODY)


@pytest.fixture
def open_host(host: Path) -> Path:
    """The host's files where everybody may read them; pytest makes its own directories 0700."""
    for directory in (host, *host.parents):
        if directory.stat().st_uid == os.getuid() and directory.stat().st_mode & 0o001 == 0:
            directory.chmod(0o755)
    (host / "base.qcow2").chmod(0o644)
    return host


def test_files_that_everybody_may_read_are_accepted(open_host: Path) -> None:
    assert refusal(open_host, TOPOLOGY, SEEN_BY_NOBODY) == ""


def test_an_image_of_the_caller_alone_is_refused(open_host: Path) -> None:
    image = open_host / "base.qcow2"
    image.chmod(0o600)
    said = f"2:13: base_image: {image} cannot be read by QEMU's user nobody (`chmod o+r {image}`)"
    assert said in refusal(open_host, TOPOLOGY, SEEN_BY_NOBODY)
    assert refusal(open_host, TOPOLOGY, SEEN) == ""
    root = Account("root", 0, frozenset({0}))
    assert refusal(open_host, TOPOLOGY, replace(SEEN, qemu=root)) == ""


def test_an_image_is_read_by_a_group_of_qemu(open_host: Path) -> None:
    image = open_host / "base.qcow2"
    image.chmod(0o640)
    member = replace(NOBODY, gids=frozenset({image.stat().st_gid}))
    assert refusal(open_host, TOPOLOGY, replace(SEEN, qemu=member)) == ""


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("base.qcow2", "private/base.qcow2", "base_image"),
        ("nodes:", "boot: {kernel: private/base.vmlinuz}\nnodes:", "boot.kernel"),
        ("nodes:", "overlay_dir: private/layers\nnodes:", "overlay_dir"),
        ("512,", "512, extra_disks: [{path: private/d.qcow2, size_gb: 1}],", "nodes[0].extra_disks[0].path"),
    ],
)
def test_whatever_is_in_a_private_directory_is_refused(open_host: Path, old: str, new: str, place: str) -> None:
    private = open_host / "private"
    private.mkdir()
    for name in ("base.qcow2", "base.vmlinuz"):
        (private / name).write_bytes((open_host / name).read_bytes())
    text = TOPOLOGY.replace(old, new)
    assert refusal(open_host, text, SEEN_BY_NOBODY) == ""
    private.chmod(0o700)
    said = refusal(open_host, text, SEEN_BY_NOBODY)
    assert f" {place}: {private}/" in said
    assert f"cannot be opened by QEMU's user nobody, which cannot enter {private} (`chmod o+x {private}`" in said


def test_what_is_missing_is_missing_only(open_host: Path) -> None:
    private = open_host / "private"
    private.mkdir(mode=0o700)
    said = refusal(open_host, TOPOLOGY.replace("base.qcow2", "private/base.qcow2"), SEEN_BY_NOBODY)
    assert "No such file" in said
    assert "QEMU's user" not in said
