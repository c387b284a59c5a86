"""What the tests on another release of the distribution are made of."""

from pathlib import Path

import pytest

from tests.other_release.pip_files import pip_files
from tests.other_release.releases import other_release
from tests.other_release.root import FOR_TESTS, packages
from tests.other_release.short import CODEC_TESTS, DOWNGRADE_TESTS, GUEST_TESTS, HOST_TESTS, UPGRADE_TESTS

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "trixie"),
        ({"ID": "debian", "VERSION_CODENAME": "trixie"}, "bookworm"),
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble"}, "bookworm"),
    ],
)
def test_the_other_release_is_the_one_that_the_host_does_not_have(host: dict[str, str], other: str) -> None:
    assert other_release(host) == other


@pytest.mark.parametrize("test", [*CODEC_TESTS, *HOST_TESTS, *GUEST_TESTS, *UPGRADE_TESTS, *DOWNGRADE_TESTS])
def test_each_test_of_the_short_form_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert (REPOSITORY / path).exists()
    assert not name or f"def {name}(" in (REPOSITORY / path).read_text()


def test_the_root_has_what_a_host_gets_and_what_tests_need() -> None:
    assert {"libvirt-daemon-system", "python3-venv", *FOR_TESTS} <= set(packages())


def test_what_pip_reads_here_is_there() -> None:
    assert Path("/etc/resolv.conf") in pip_files()
    assert all(path.exists() for path in pip_files())
