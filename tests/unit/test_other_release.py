"""What the tests on another release of the distribution are made of."""

import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.golden_samples import UNIT_TESTS
from tests.other_release.pip_files import pip_files
from tests.other_release.releases import other_release
from tests.other_release.root import packages
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
    assert {"libvirt-daemon-system", "python3-venv", "openssh-server", "fish"} <= set(packages())


def test_what_pip_reads_here_is_there() -> None:
    assert Path("/etc/resolv.conf") in pip_files()
    assert all(path.exists() for path in pip_files())


def test_each_sample_of_a_tool_is_of_both_releases() -> None:
    taken = (path for path in UNIT_TESTS.glob("*/golden/*.*") if path.suffix != ".log")  # logs are of what went wrong
    # name.tool-version.suffix: each name and tool in as many versions as there are releases.
    assert set(Counter(re.sub(r"-\d.*", "", path.name) for path in taken).values()) == {2}


def commands(target: str, *variables: str) -> list[str]:
    """What `make` would run of pytest and of the other release."""
    asked = ["make", "--dry-run", target, *variables]
    # Without the variables of a `make` that runs this test.
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(asked, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return re.findall(r" -m ((?:pytest|tests\.other_release) .*)", done.stdout)


def test_a_part_of_the_suite_runs_where_all_of_it_does() -> None:
    units, processes, *in_labs = commands("test")
    assert units.startswith("pytest tests --ignore=tests/integration -n")
    assert "-m processes" in processes
    assert '-m "not processes"' in units
    assert in_labs
    assert all(each.startswith("pytest tests/integration --dist") for each in in_labs)
    some = commands("test", "TESTS=tests/unit/host tests/unit/plan")
    assert [each.startswith("pytest tests/unit/host tests/unit/plan -n") for each in some] == [True, True]
    in_one_lab = commands("test", "TESTS=tests/integration/guests", "LABS=1")
    assert in_one_lab == [each.replace("integration ", "integration/guests ").replace("3*", "1*") for each in in_labs]


def test_the_long_form_passes_on_what_is_said_to_it() -> None:
    said = ["TESTS=tests/unit/host", "LABS=1", "PYTEST_ARGS=-k 'a or b'"]
    (asked,) = commands("other-release", "LONG=1", *said)
    assert set(said) <= set(shlex.split(asked.partition(" --long -- ")[2]))
