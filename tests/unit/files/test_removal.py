"""Deleting trees that others have written."""

import os
from pathlib import Path

from reconciler.files.removal import remove_tree


def test_a_tree_is_deleted_however_deep_it_is(tmp_path: Path) -> None:
    at = tmp_path / "tree"
    for _ in range(1800):
        at.mkdir()
        (at / "file").touch()
        at /= "d"
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_what_is_closed_is_opened_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    tree, other = tmp_path / "tree", tmp_path / "other"
    (tree / "closed" / "empty").mkdir(parents=True)
    other.mkdir()
    (other / "file").touch()
    (tree / "closed" / "link").symlink_to(other)
    (tree / "closed" / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    (tree / "closed").chmod(0)
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == [other]
    assert list(other.iterdir()) == [other / "file"]


def test_what_is_not_there_is_deleted_already(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
