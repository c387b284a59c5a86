"""Directories of a cluster, and those of others in their place."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, Conflict
from reconciler.files.cluster_directories import directory_mark, ensure_our_directory, mark_directory
from reconciler.files.marked_files import create_file
from reconciler.files.ownership import ATTRIBUTE, OwnedKind, OwnerMark
from reconciler.model.origin import Origin

CLUSTER = "lab"
ORIGIN = Origin(store="0a", generation=3, token="1b", state_dir="/state")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / CLUSTER


def test_our_directory_is_made_once_and_keeps_the_origin_that_it_has(place: Path) -> None:
    ensure_our_directory(place, CLUSTER, ORIGIN)
    ensure_our_directory(place, CLUSTER, ORIGIN.model_copy(update={"generation": 4}))
    mark = directory_mark(place, CLUSTER)
    assert mark == OwnerMark(cluster=CLUSTER, kind=OwnedKind.DIRECTORY, origin=ORIGIN)
    mark_directory(place, CLUSTER, None)
    assert directory_mark(place, CLUSTER) == OwnerMark(cluster=CLUSTER, kind=OwnedKind.DIRECTORY)


def _with_notes(place: Path) -> None:
    place.mkdir()
    (place / "notes").write_text("somebody's")


def _of_another_cluster(place: Path) -> None:
    ensure_our_directory(place, "other", ORIGIN)


def _copied(place: Path) -> None:
    original = place.parent / "original" / CLUSTER
    ensure_our_directory(original, CLUSTER, ORIGIN)
    create_file(original / "seed", b"", OwnerMark(cluster=CLUSTER, kind=OwnedKind.SEED), mode=0o600)
    subprocess.run(["cp", "-a", original, place], check=True)


def _a_file(place: Path) -> None:
    place.write_text("somebody's")


@pytest.mark.parametrize("make", [_with_notes, _of_another_cluster, _copied, _a_file])
def test_what_is_somebody_elses_is_not_taken_and_gets_no_mark(place: Path, make: Callable[[Path], None]) -> None:
    make(place)
    before = sorted(place.parent.rglob("*")), os.listxattr(place)
    with pytest.raises(Conflict, match=str(place)):
        directory_mark(place, CLUSTER)
    with pytest.raises(Conflict, match=str(place)):
        ensure_our_directory(place, CLUSTER, ORIGIN)
    assert (sorted(place.parent.rglob("*")), os.listxattr(place)) == before


def test_an_empty_directory_is_taken_and_one_of_an_earlier_version_counts(place: Path) -> None:
    place.mkdir()
    assert directory_mark(place, CLUSTER) is None
    create_file(place / "seed", b"", OwnerMark(cluster=CLUSTER, kind=OwnedKind.SEED), mode=0o600)
    assert directory_mark(place, CLUSTER) is None
    shutil.rmtree(place)
    place.mkdir()
    ensure_our_directory(place, CLUSTER, ORIGIN)
    assert ATTRIBUTE in os.listxattr(place)


def test_a_link_to_a_directory_is_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    ensure_our_directory(place, CLUSTER, ORIGIN)
    mark = directory_mark(place, CLUSTER)
    assert mark is not None
    assert mark.origin == ORIGIN


def test_a_directory_that_is_not_there_has_no_mark(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        directory_mark(place, CLUSTER)


def test_a_link_to_itself_is_an_error_of_the_system_and_no_defect(tmp_path: Path) -> None:
    (tmp_path / "lab").symlink_to("lab")
    with pytest.raises((ClusterError, OSError)):
        directory_mark(tmp_path / "lab", "lab")
