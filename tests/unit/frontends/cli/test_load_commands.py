"""The command that shows loads: once for programs and pipes, live on a terminal until Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.model.record import ClusterRecord

from .conftest import Invoke, environment

LIVE = """
from reconciler.frontends.cli.app import main
from reconciler.usecases.node_loads import LoadMeter
from tests.unit.frontends.cli.test_load_tables import LOAD

async def look(self):
    return [LOAD]

LoadMeter.look = look
main()
"""
"""A `vmcluster` whose nodes have a load without being there."""


@pytest.mark.parametrize("words", [["top"], ["top", "lab", "--once"], ["top", "lab", "-o", "json"]])
def test_a_libvirt_that_does_not_answer_is_an_error(invoke: Invoke, lab: ClusterRecord, words: list[str]) -> None:
    ended = invoke(*words)
    assert ended.code == 1
    assert "LIBVIRT_UNAVAILABLE" in ended.err


def test_an_unknown_cluster_and_no_interval_are_errors(invoke: Invoke, lab: ClusterRecord) -> None:
    assert "did you mean 'lab'" in invoke("top", "labb").err
    assert "--interval" in invoke("top", "--interval", "0").err


@pytest.mark.processes
def test_a_live_table_ends_well_at_ctrl_c(tmp_path: Path) -> None:
    far, near = pty.openpty()
    terminal = {"TERM": "xterm", "COLUMNS": "120", "LINES": "20"}
    live = subprocess.Popen(
        [sys.executable, "-c", LIVE, "top", "--interval", "0.01"],
        stdin=near,
        stdout=near,
        stderr=near,
        env={**os.environ, **environment(tmp_path), **terminal},
    )
    os.close(near)
    drawn = b""
    while drawn.count(b"1.5 MiB/s") < 3:
        drawn += os.read(far, 1 << 12)
    live.send_signal(signal.SIGINT)
    while True:
        try:
            drawn += os.read(far, 1 << 12)
        except OSError:  # the other end is closed
            break
    assert live.wait() == 0
    os.close(far)
    assert b"Traceback" not in drawn
    assert drawn.rindex(b"\x1b[?25h") > drawn.rindex(b"1.5 MiB/s"), "the cursor is visible again"
