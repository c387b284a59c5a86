"""What the conformance suite is expected to fail is named once, with a reason; and a run without npm says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.__main__ import EXPECTED, expected_failures


def test_each_expected_failure_has_a_reason_and_is_named_once() -> None:
    text = EXPECTED.read_text()
    expected = expected_failures(text)
    named = [line.strip("- ") for line in text.splitlines() if line.startswith("    - ")]
    assert sorted(named) == sorted(expected)
    assert all(len(reason.split()) > 5 for reason in expected.values())


@pytest.mark.long
@pytest.mark.processes
def test_a_machine_without_npm_is_told_that_nothing_was_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "NOT RUN: there is no npm" in done.stdout
