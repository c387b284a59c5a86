"""`--while`: the command's own exit code, and what becomes of it when somebody wants it to end."""

import os
import signal
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.processes

RUN = """
import signal, sys
from reconciler.frontends.cli.scoped_faults import _run

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)  # what this very run ignores, as under nohup, a shell could not trap
sys.exit(_run(sys.argv[1:], []))
"""


def started(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def code_of(*words: str) -> int:
    process = started(*words)
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["/nonexistent/program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_code_is_the_commands_own(words: list[str], code: int) -> None:
    assert code_of(*words) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_for_this_process_alone_reaches_the_command(number: signal.Signals) -> None:
    process = started(
        "sh", "-c", f"trap 'echo told; exit 3' {number.value}; echo ready; sleep 30 >/dev/null 2>&1 & wait $!"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (out, process.returncode) == ("told\n", 3)


def test_what_the_command_does_with_signals_is_not_ours_to_change() -> None:
    process = started("sh", "-c", "echo ready; exec sleep 30")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM
