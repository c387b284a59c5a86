"""What is said of tests that failed, that hang, that are skipped and that passed only alone: by real runs of pytest."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import tries

pytestmark = [pytest.mark.long, pytest.mark.processes]

REPOSITORY = Path(__file__).parents[2]
PLUGINS = ("xdist", "pytest_asyncio.plugin", "pytest_timeout")
SUITE = """
import asyncio, os, time, pytest

async def test_waits_for_ever():
    await asyncio.sleep(1000)

def test_hangs():
    time.sleep(1000)

def test_races():
    assert os.environ.get("ALONE"), "somebody else was faster\\nmuch faster"

def test_is_broken():
    raise ValueError("wings")

@pytest.fixture
def place():
    yield
    assert os.environ.get("ALONE"), "it is not left as it was"

def test_leaves_something(place):
    pass

@pytest.mark.skip(reason="it has no wings")
def test_flies():
    pass

def test_is_sound():
    pass
"""

LIST = """\
2 failed beside others and passed alone; each is a defect to be fixed:
  test_it.py::test_races
    beside others: failed: AssertionError: somebody else was faster
    alone: passed
  test_it.py::test_leaves_something
    beside others: failed: failed on teardown with "AssertionError: it is not left as it was
    alone: passed
3 failed beside others and did not pass alone either:
  test_it.py::test_waits_for_ever
    beside others: failed: Failed: Timeout (>1.5s) from pytest-timeout.
    alone: not run
  test_it.py::test_hangs
    beside others: failed: Failed: Timeout (>1.5s) from pytest-timeout.
    alone: not run
  test_it.py::test_is_broken
    beside others: failed: ValueError: wings
    alone: failed: ValueError: wings
"""


def run(directory: Path, report: str, *tests: str, **environment: str) -> str:
    options = ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(directory), "-p", "no:cacheprovider"]
    options += ["-q", "-n1", "--timeout=1.5", "--junitxml", str(directory / report)]
    options += [word for plugin in PLUGINS for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(
        command,
        cwd=directory,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("suite")
    (directory / "test_it.py").write_text(SUITE)
    return directory


@pytest.fixture(scope="module")
def first(directory: Path) -> str:
    return run(directory, tries.FIRST, "test_it.py")


def test_a_test_that_hangs_is_named_with_the_place_and_those_after_it_run(first: str) -> None:
    assert "4 failed, 2 passed, 1 skipped, 1 error" in first
    assert "FAILED test_it.py::test_hangs - Failed: Timeout (>1.5s)" in first
    assert "FAILED test_it.py::test_waits_for_ever - Failed: Timeout (>1.5s)" in first
    assert "    time.sleep(1000)" in first


def test_a_skip_is_told_at_the_end_with_its_reason(first: str) -> None:
    assert "SKIPPED [1] test_it.py:24: it has no wings" in first


@pytest.mark.usefixtures("first")
def test_what_passed_only_alone_is_listed_with_both_outcomes_and_what_failed_twice_fails(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [f"test_it.py::{test}" for test in ("test_races", "test_is_broken", "test_leaves_something")]
    run(directory, tries.ALONE, *again, ALONE="1")
    assert tries.main(directory) == 1
    assert capsys.readouterr().out == LIST


def test_a_run_that_failed_without_a_failed_test_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / tries.FIRST).write_text('<testsuites><testcase classname="tests.x" name="y"/></testsuites>')
    assert tries.main(tmp_path) == 1
    assert "names no test that did" in capsys.readouterr().out


def test_all_that_failed_and_passed_alone_lets_the_run_pass() -> None:
    said, passed = tries.render_defects({"x": tries.Try("failed", "late")}, {"x": tries.Try(tries.PASSED)})
    assert passed
    assert said.splitlines()[0] == "1 failed beside others and passed alone; each is a defect to be fixed:"
