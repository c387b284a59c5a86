import os
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import Conflict, InvalidArgument
from reconciler.image.published import (
    ImageFiles,
    describe,
    discard_staged,
    is_current,
    publish_staged,
    read_description,
    refuse_foreign,
    require_files,
    stage_image,
)


@pytest.fixture
def made(tmp_path: Path) -> ImageFiles:
    """A described image with content of its own."""
    files = ImageFiles.beside(tmp_path / "made" / "image.qcow2")
    files.disk.parent.mkdir()
    for role, path in files.parts().items():
        path.write_bytes(role.encode())
    describe(files, "recipe-1", "6.1.0", "root=/dev/vda1")
    return files


def publish_image(made: ImageFiles, files: ImageFiles) -> None:
    """Both steps at once."""
    stage_image(made, files)
    publish_staged(files)


def test_an_image_is_current_until_its_recipe_changes(made: ImageFiles) -> None:
    assert is_current(made, "recipe-1")
    assert not is_current(made, "recipe-2")


@pytest.mark.parametrize("role", ["disk", "kernel", "initrd"])
def test_an_image_with_a_missing_part_is_not_current(made: ImageFiles, role: str) -> None:
    made.parts()[role].unlink()
    assert not is_current(made, "recipe-1")


def test_a_part_of_the_same_size_with_other_content_is_noticed(made: ImageFiles) -> None:
    made.disk.write_bytes(b"dIsk")
    os.utime(made.disk, ns=(1, 1))
    assert not is_current(made, "recipe-1")


def test_a_part_that_was_only_copied_without_its_times_is_still_current(made: ImageFiles) -> None:
    os.utime(made.disk, ns=(1, 1))
    assert is_current(made, "recipe-1")


def test_a_published_image_is_current_and_readable_for_qemu(made: ImageFiles, tmp_path: Path) -> None:
    files = ImageFiles.beside(tmp_path / "images" / "base.qcow2")
    publish_image(made, files)
    assert is_current(files, "recipe-1")
    assert {path.stat().st_mode & 0o777 for path in files.parts().values()} == {0o644}


def test_a_link_in_the_place_of_a_copy_is_not_followed(made: ImageFiles, tmp_path: Path) -> None:
    files = ImageFiles.beside(tmp_path / "base.qcow2")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".base.qcow2.new").symlink_to(tmp_path / "precious")
    publish_image(made, files)
    assert is_current(files, "recipe-1")
    assert (tmp_path / "precious").read_text() == "precious"


def test_publishing_leaves_an_open_old_image_as_it_was(made: ImageFiles, tmp_path: Path) -> None:
    files = ImageFiles.beside(tmp_path / "base.qcow2")
    publish_image(made, files)
    with files.disk.open("rb") as old:
        made.disk.write_bytes(b"new disk")
        describe(made, "recipe-2", "6.1.0", "")
        publish_image(made, files)
        assert old.read() == b"disk"
    assert files.disk.read_bytes() == b"new disk"


@pytest.mark.parametrize("placed", range(5))
def test_publishing_killed_after_any_file_is_taken_up_again(
    made: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: int
) -> None:
    files = ImageFiles.beside(tmp_path / "base.qcow2")
    left = iter([None] * placed)
    rename = Path.rename

    def rename_until_killed(source: Path, target: Path) -> Path:
        if next(left, "killed") == "killed":
            raise KeyboardInterrupt
        return rename(source, target)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "rename", rename_until_killed)
        publish_image(made, files)
    assert is_current(files, "recipe-1") == (placed >= 4)
    refuse_foreign(files)
    publish_image(made, files)
    assert is_current(files, "recipe-1")
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["base.initrd", "base.json", "base.qcow2", "base.vmlinuz"]


def test_an_image_that_was_staged_in_vain_leaves_nothing(made: ImageFiles, tmp_path: Path) -> None:
    files = ImageFiles.beside(tmp_path / "images" / "base.qcow2")
    stage_image(made, files)
    discard_staged(files)
    assert list(files.disk.parent.iterdir()) == []


def test_a_file_that_is_not_from_here_is_refused_and_left_alone(tmp_path: Path) -> None:
    files = ImageFiles.beside(tmp_path / "base.qcow2")
    files.disk.write_bytes(b"precious")
    with pytest.raises(Conflict, match=r"base\.qcow2 was not created by vmcluster"):
        refuse_foreign(files)
    assert files.disk.read_bytes() == b"precious"


def test_a_description_that_cannot_be_read_describes_nothing(made: ImageFiles) -> None:
    made.description.write_text("{")
    assert read_description(made) is None


@pytest.mark.parametrize("place", [Path("/dev/null"), Path("/tmp")])
def test_no_image_takes_the_place_of_a_device_or_a_directory(place: Path) -> None:
    with pytest.raises(InvalidArgument, match="is not a regular file"):
        require_files(ImageFiles.beside(place))
