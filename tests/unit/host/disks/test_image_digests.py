"""What a host tells of its images."""

from pathlib import Path

from reconciler.host.disks.image_digests import ImageDigests


def test_only_images_in_the_directory_for_them_have_names(tmp_path: Path) -> None:
    images, elsewhere = tmp_path / "images", tmp_path / "elsewhere.qcow2"
    images.mkdir()
    for path in (images / "debian-12.qcow2", images / "disk.img", elsewhere):
        path.write_bytes(b"image")
    found = ImageDigests(tmp_path / "state").images(images, [elsewhere])
    assert {image.path.name: image.name for image in found} == {
        "elsewhere.qcow2": None,
        "debian-12.qcow2": "debian-12",
        "disk.img": None,
    }
