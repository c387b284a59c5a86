"""Threads for calls that may never return."""

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from reconciler.host.libvirt.threads import DaemonThreads

TIMEOUT_S = 10


def test_answers_and_errors_are_the_callers() -> None:
    threads = DaemonThreads(2, "test")
    assert threads.submit(int, "7").result(TIMEOUT_S) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        threads.submit(int, "seven").result(TIMEOUT_S)
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(int, "7")


def test_calls_go_on_beside_one_that_hangs_and_more_hanging_ones_start_no_more_threads() -> None:
    release, threads = threading.Event(), DaemonThreads(2, "hanging")
    hanging: Future[bool] = threads.submit(release.wait)
    assert threads.submit(int, "7").result(TIMEOUT_S) == 7
    others = [threads.submit(release.wait) for _ in range(5)]
    given_up = threads.submit(int, "8")
    assert given_up.cancel()
    assert sum(thread.name.startswith("hanging-") for thread in threading.enumerate()) == 2
    release.set()
    assert hanging.result(TIMEOUT_S)
    assert all(other.result(TIMEOUT_S) for other in others)
    threads.shutdown()


def test_a_process_ends_without_a_call_that_never_returns() -> None:
    program = (
        "import threading; from reconciler.host.libvirt.threads import DaemonThreads as D; "
        "D(1, 'test').submit(threading.Event().wait)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=TIMEOUT_S, check=False).returncode == 0
