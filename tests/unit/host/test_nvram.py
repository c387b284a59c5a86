"""The files with UEFI's variables, copied into snapshots and back."""

from pathlib import Path

from reconciler.host.nvram import delete_nvram, keep_nvram, put_nvram
from reconciler.host.ownership import is_owned


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


def test_only_a_nodes_own_variables_are_deleted(tmp_path: Path) -> None:
    for name in ("n0.r0.nvram", "n0.r12.nvram", "n0-a.r0.nvram", "n0.nvram", "n0.r0.nvram.save"):
        (tmp_path / name).touch()
    delete_nvram(tmp_path / "none", "n0")
    delete_nvram(tmp_path, "n0", keeping=tmp_path / "n0.r12.nvram")
    others = ["n0-a.r0.nvram", "n0.nvram", "n0.r0.nvram.save"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "n0.r12.nvram"])
    delete_nvram(tmp_path, "n0")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
