"""What is under way, as a terminal shows it."""

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.frontends.cli.live_progress import LiveProgress, live_progress
from reconciler.frontends.cli.options import LogOptions, OutputFormat, log_options
from reconciler.frontends.cli.session import INTERRUPTED

from .conftest import environment

UNENDING = """
import asyncio
from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.session import run_command

async def work(use):
    use.progress.advanced("n0", "kernel")
    print("under way", flush=True)
    await asyncio.Event().wait()

@app.command()
def unending() -> None:
    run_command(work)

from reconciler.frontends.cli.app import main
import sys
sys.argv = ["vmcluster", "unending"]
main()
"""


class Screen:
    """A terminal, and all that has been drawn on it."""

    def __init__(self) -> None:
        self._far, near = pty.openpty()
        self.stream = os.fdopen(near, "w")
        self._drawn: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def drawn(self) -> str:
        """What was drawn, once the stream is closed."""
        self.stream.close()
        self._reader.join()
        return b"".join(self._drawn).decode()

    def _read(self) -> None:
        with os.fdopen(self._far, "rb", 0) as far, suppress(OSError):  # EIO: the near end was closed
            while data := far.read(1 << 16):
                self._drawn.append(data)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "8"}.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    yield screen
    screen.drawn()


def test_what_is_under_way_has_a_line_until_it_is_over_and_messages_are_above(screen: Screen) -> None:
    progress = LiveProgress(screen.stream)
    progress.advance("n0", "kernel")
    progress.advance("n1", "services")
    progress.report("Start n2: done \x1b[2J")
    progress.advance("n0", None)
    progress.advance("n1", None)
    drawn = " ".join(screen.drawn().split())
    before, said, after = drawn.partition("Start n2: done \\x1b[2J")
    assert said
    for part in (before, after):
        assert "n0 kernel 0 s" in part
        assert "n1 services 0 s" in part
    assert "\x1b[?25h" in after, "the cursor is visible again"


def test_lines_that_do_not_fit_are_counted(screen: Screen) -> None:
    progress = LiveProgress(screen.stream)
    for index in range(20):
        progress.advance(f"n{index}", "kernel")
    progress.stop()
    assert "… and 14 more" in screen.drawn()


def test_without_a_terminal_with_data_or_with_detailed_logs_there_are_no_lines(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_progress(OutputFormat.TABLE) as live:
        assert live is None
    monkeypatch.setattr(sys, "stderr", screen.stream)
    with live_progress(OutputFormat.TABLE) as live:
        assert live is not None
    with live_progress(OutputFormat.JSON) as live:
        assert live is None
    token = log_options.set(LogOptions(verbosity=1))
    with live_progress(OutputFormat.TABLE) as live:
        assert live is None
    log_options.reset(token)
    monkeypatch.setenv("TERM", "dumb")
    with live_progress(OutputFormat.TABLE) as live:
        assert live is None


@pytest.mark.processes
def test_ctrl_c_removes_the_lines_and_is_reported_below_them(screen: Screen, tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", UNENDING],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=screen.stream,
        env={**os.environ, **environment(tmp_path)},
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"under way\n"
    command.send_signal(signal.SIGINT)
    assert command.wait() == INTERRUPTED
    command.stdout.close()
    drawn = screen.drawn()
    assert "n0  kernel" in drawn
    assert drawn.endswith("interrupted\r\n")
    assert "Traceback" not in drawn
