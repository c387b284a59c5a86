import os
from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.host.ownership import ATTRIBUTE, OwnedKind, OwnerMark, delete_owned, is_owned, read_mark, write_mark

MARK = OwnerMark(cluster="demo", node="n1", kind=OwnedKind.SEED, facts={"digest": "abc"})


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


def test_a_symlink_to_a_file_of_ours_is_not_ours(file: Path) -> None:
    write_mark(file, MARK)
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_mark(link) is None


def test_the_mark_of_an_absent_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mark(tmp_path / "absent")


def test_a_file_of_ours_is_deleted_once_and_then_is_gone(file: Path) -> None:
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
