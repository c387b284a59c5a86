import os
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.files.ownership import (
    ATTRIBUTE,
    OwnedKind,
    OwnerMark,
    bind_copy,
    delete_owned,
    is_owned,
    read_mark,
    sign,
    write_mark,
)
from reconciler.model.origin import Origin

MARK = OwnerMark(cluster="demo", node="n1", kind=OwnedKind.SEED, facts={"digest": "abc"})
ORIGIN = Origin(store="0a", generation=3, token="1b", state_dir="/state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_a_mark_is_read_back_as_it_was_written(file: Path) -> None:
    write_mark(file, MARK)
    assert read_mark(file) == MARK


def test_a_mark_follows_its_file_to_another_name(file: Path) -> None:
    write_mark(file, MARK)
    assert read_mark(file.rename(file.with_name("renamed"))) == MARK


def test_a_file_without_a_mark_is_not_ours(file: Path) -> None:
    assert read_mark(file) is None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[]", b'{"cluster": "demo"}', b'{"cluster":"demo","kind":"new kind"}']
)
def test_a_mark_that_does_not_parse_is_not_ours(file: Path, raw: bytes) -> None:
    os.setxattr(file, ATTRIBUTE, raw)
    assert read_mark(file) is None


def test_a_symlink_to_our_file_is_not_ours(file: Path) -> None:
    write_mark(file, MARK)
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_mark(link) is None


def test_the_mark_of_an_absent_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mark(tmp_path / "absent")


def test_our_file_is_deleted_once_and_then_is_gone(file: Path) -> None:
    write_mark(file, MARK)
    assert delete_owned(file, "demo")
    assert not file.exists()
    assert not delete_owned(file, "demo")
    assert not delete_owned(file / "below a file", "demo")


def test_a_file_that_is_not_ours_is_never_deleted(file: Path) -> None:
    with pytest.raises(Conflict, match=str(file)):
        delete_owned(file, "demo")
    assert file.read_bytes() == b"content"


def test_a_file_of_another_cluster_is_never_deleted(file: Path) -> None:
    write_mark(file, MARK)
    assert not is_owned(file, "other")
    with pytest.raises(Conflict):
        delete_owned(file, "other")
    assert file.exists()


def copied(file: Path, name: str = "copy/seed") -> Path:
    """A copy with all that `cp -a` copies, in another directory."""
    copy = file.parent / name
    copy.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", file, copy], check=True)
    return copy


def test_a_mark_that_was_copied_with_its_file_does_not_count(file: Path) -> None:
    write_mark(file, MARK)
    copy = copied(file)
    assert os.getxattr(copy, ATTRIBUTE) == os.getxattr(file, ATTRIBUTE)
    assert read_mark(copy) is None
    with pytest.raises(Conflict, match=r"is a copy of a file that was created for cluster 'demo'.*cluster_adopt"):
        delete_owned(copy, "demo")
    assert (file.exists(), copy.exists(), read_mark(file)) == (True, True, MARK)


def test_a_mark_counts_after_all_that_leaves_the_file_itself_in_place(file: Path) -> None:
    write_mark(file, MARK)
    moved = file.rename(file.with_name("renamed"))
    moved.chmod(0o440)
    with moved.open("ab") as content:
        content.write(b"grown")
    assert read_mark(moved) == MARK


def test_a_copy_is_bound_under_its_own_name_and_for_its_own_cluster_only(file: Path) -> None:
    write_mark(file, MARK)
    copy, renamed = copied(file, f"copy/{file.name}"), copied(file, "copy/another")
    assert not bind_copy(copy, "other")
    assert not bind_copy(renamed, "demo")
    assert bind_copy(copy, "demo")
    assert not bind_copy(copy, "demo"), "it is bound already"
    assert (read_mark(copy), read_mark(renamed), read_mark(file)) == (MARK, None, MARK)


def test_a_mark_of_an_earlier_version_counts_and_is_signed_also_on_a_frozen_file(file: Path) -> None:
    os.setxattr(file, ATTRIBUTE, b'{"cluster": "demo", "node": "n1", "kind": "seed", "facts": {"digest": "abc"}}')
    file.chmod(0o440)
    assert read_mark(file) == MARK
    sign(file, "demo", ORIGIN)
    sign(file, "other", ORIGIN.model_copy(update={"token": "another"}))
    sign(file.with_name("absent"), "demo", ORIGIN)
    assert read_mark(file) == MARK.model_copy(update={"origin": ORIGIN})
    assert file.stat().st_mode & 0o777 == 0o440
