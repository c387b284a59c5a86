"""The files with UEFI's variables, copied into snapshots and back."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import OperationFailed
from reconciler.files.ownership import OwnedKind, OwnerMark, is_owned, write_mark
from reconciler.host.nvram import delete_nvram, keep_nvram, nvram_problem, put_nvram


def test_variables_go_into_a_snapshot_and_back_to_a_node_that_has_none_yet(tmp_path: Path) -> None:
    copy, new, there = tmp_path / "copy", tmp_path / "n0.r1.nvram", tmp_path / "n0.r0.nvram"
    keep_nvram(there, copy, "lab", "n0")
    assert not copy.exists()
    put_nvram(copy, new, "lab", "n0")
    assert not new.exists()
    there.write_bytes(b"then")
    keep_nvram(there, copy, "lab", "n0")
    there.write_bytes(b"now")
    put_nvram(copy, new, "lab", "n0")
    put_nvram(copy, there, "lab", "n0")
    assert (new.read_bytes(), there.read_bytes()) == (b"then", b"now")
    assert is_owned(copy, "lab")


def linked(copy: Path) -> None:
    copy.rename(copy.with_name("away"))
    copy.symlink_to("away")


def piped(copy: Path) -> None:
    copy.unlink()
    os.mkfifo(copy)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other content": (lambda copy: copy.write_bytes(b"evil"), "are damaged"),
    "no mark": (lambda copy: os.removexattr(copy, "user.vmcluster"), "are not those saved from node n0"),
    "another's": (lambda copy: write_mark(copy, mark("n1")), "are not those saved from node n0"),
    "another kind": (lambda copy: write_mark(copy, mark("n0", OwnedKind.SEED)), "are not those saved from node"),
    "a link": (linked, "is a link, not a file with UEFI"),
    "a FIFO": (piped, "is a FIFO, not a file with UEFI"),
    "too large": (lambda copy: os.truncate(copy, 1 << 40), "is larger than any file of UEFI variables"),
}


@pytest.mark.parametrize(("change", "problem"), CHANGES.values(), ids=CHANGES)
def test_variables_that_are_not_those_that_were_kept_are_told_and_not_put_back(
    tmp_path: Path, change: Callable[[Path], object], problem: str
) -> None:
    source, copy, target = tmp_path / "source", tmp_path / "copy", tmp_path / "n0.r1.nvram"
    source.write_bytes(b"then")
    keep_nvram(source, copy, "lab", "n0")
    assert nvram_problem(copy, "lab", "n0") == ""
    change(copy)
    assert problem in nvram_problem(copy, "lab", "n0")
    with pytest.raises(OperationFailed, match=problem):
        put_nvram(copy, target, "lab", "n0")
    assert not target.exists()


def test_a_link_or_a_fifo_in_place_of_a_nodes_variables_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OperationFailed, match="not a file with UEFI variables"):
            keep_nvram(tmp_path / name, tmp_path / "copy", "lab", "n0")
    assert not (tmp_path / "copy").exists()


def mark(node: str, kind: OwnedKind = OwnedKind.NVRAM) -> OwnerMark:
    return OwnerMark(cluster="lab", node=node, kind=kind)


def test_only_a_nodes_own_variables_are_deleted(tmp_path: Path) -> None:
    for name in ("n0.r0.nvram", "n0.r12.nvram", "n0-a.r0.nvram", "n0.nvram", "n0.r0.nvram.save"):
        (tmp_path / name).touch()
    delete_nvram(tmp_path / "none", "n0")
    delete_nvram(tmp_path, "n0", keeping=tmp_path / "n0.r12.nvram")
    others = ["n0-a.r0.nvram", "n0.nvram", "n0.r0.nvram.save"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "n0.r12.nvram"])
    delete_nvram(tmp_path, "n0")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
