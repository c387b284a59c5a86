"""The command as a user runs it: a separate process on a test's bed."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.integration.bed import Bed
from tests.outputs import Ended

COMMAND = [sys.executable, "-c", "from reconciler.frontends.cli.app import main; main()"]
DEADLINE_S = 60


Vmcluster = Callable[..., Ended]


@pytest.fixture
def vmcluster(bed: Bed) -> Vmcluster:
    def run(*arguments: str, code: int = 0) -> Ended:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            env=bed.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr, arguments)

    return run


def answered_on_a_terminal(bed: Bed, words: list[str], answer: str) -> Ended:
    """The result of a command whose standard input is a terminal at which someone types the answer."""
    person, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *words],
        env=bed.environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(person, answer.encode())
        out, asked = process.communicate(timeout=DEADLINE_S)
    os.close(person)
    os.close(terminal)
    return Ended(process.returncode, out, asked)
