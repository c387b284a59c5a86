"""Servers that have imported everything already, forked from a process that waits with it.

A server that gets few requests spends nine tenths of its time on imports. What `python -m reconciler` itself does until
then is tested in tests/unit/frontends/mcp/test_process.py.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from contextlib import chdir
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

IMPORTED = "tests.imported"


class PreparedServer:
    """A server process on pipes of its own, with the names that `Popen` has for what is done with one."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        context = _prepared()
        its_input, to_it = context.Pipe(duplex=False)
        from_it, its_output = context.Pipe(duplex=False)
        self.stdin = os.fdopen(os.dup(to_it.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(from_it.fileno()), "rb")
        self._process = context.Process(
            target=_serve, args=(its_input, its_output, directory, dict(environment)), daemon=True
        )
        self._process.start()
        for end in (its_input, to_it, from_it, its_output):
            end.close()

    @property
    def pid(self) -> int:
        """Its number, also when it has ended."""
        assert self._process.pid
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL, where it still runs."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"the server has not ended within {timeout} s"
        return self._process.exitcode


@cache
def _prepared() -> ForkServerContext:
    """Where servers come from; one process for all tests of this one, which ends with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([IMPORTED])
    with chdir(Path(__file__).parents[1]):  # it finds modules from where it starts
        forkserver.ensure_running()
    return context


def _serve(its_input: Connection, its_output: Connection, directory: Path, environment: dict[str, str]) -> None:
    """What the process does that was forked: be the server in that directory and environment, standard error unread."""
    assert IMPORTED in sys.modules, "the process that servers are forked from has not imported them"
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    unread = os.open(os.devnull, os.O_WRONLY)
    for number, descriptor in enumerate((its_input.fileno(), its_output.fileno(), unread)):
        os.dup2(descriptor, number)
    its_input.close()
    its_output.close()
    os.close(unread)
    sys.argv = ["vmcluster-mcp"]  # not what the tests were called with
    from reconciler.frontends.mcp.server import main

    main()
