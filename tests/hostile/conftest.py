"""The fixtures of a real sshd, which is a hostile node's or only as fast as one, and what adds up a whole run."""

import os
from collections.abc import Callable

import pytest

from tests.hostile import SEED
from tests.hostile.tally import Tally, Total
from tests.sshd import pool, sshd

__all__ = ["pool", "sshd"]

AT_LEAST = int(os.environ.get("HOSTILE_AT_LEAST", "0"))
"""How many inputs make a whole run."""


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Where a fuzzer counts what it tries."""
    return Tally(record_property)


def _total(config: pytest.Config) -> Total:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return Total(reporter.getreports("passed") if reporter is not None else ())


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that tried too little has not passed."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and session.exitstatus == 0 and _total(session.config).inputs.total() < AT_LEAST:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line that says what was tried."""
    total = _total(config)
    terminalreporter.write_sep("=", f"hostile: seed {SEED}")
    terminalreporter.write_line(str(total))
    if total.inputs.total() < AT_LEAST:
        terminalreporter.write_line(f"FAILED: a whole run has {AT_LEAST:,} inputs")
