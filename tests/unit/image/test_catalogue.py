"""The published images that have a name."""

import pytest

from reconciler.image.catalogue import CATALOGUE, nearest_name
from reconciler.image.web_address import file_name, require_safe
from reconciler.model.names import image_name, image_path, is_image_name


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_image_and_its_checksums_have_safe_addresses_at_one_publisher(name: str) -> None:
    entry = CATALOGUE[name]
    for url in (entry.url, entry.checksum_url):
        require_safe(url)
        assert url.startswith("https://")
    assert entry.url.rpartition("/")[0] == entry.checksum_url.rpartition("/")[0]
    assert file_name(entry.url).endswith((".qcow2", ".img"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_topology_can_name_an_image_of_the_catalogue(name: str) -> None:
    assert is_image_name(name)
    assert image_name(image_path(image_path.__globals__["IMAGE_DIR"], name)) == name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("debain-12", "debian-12"), ("Ubuntu-24.04", "ubuntu-24.04"), ("fedora41", "fedora-41"), ("mine-2", "mine-1")],
)
def test_a_near_name_is_guessed(typed: str, meant: str) -> None:
    assert nearest_name(typed, ["mine-1"]) == meant


def test_a_name_like_no_other_is_not_guessed() -> None:
    assert nearest_name("windows", []) is None
