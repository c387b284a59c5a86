"""`vmcluster ui`, as a process: the page that it serves, and the one that it finds."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.frontends.cli.conftest import Invoke, environment
from tests.unit.frontends.web.test_way_in import heard_by


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A `vmcluster ui` and the address that it printed."""
    program = "import sys; from reconciler.frontends.cli.app import main; sys.argv[0] = 'vmcluster'; main()"
    started = subprocess.Popen(
        [sys.executable, "-c", program, "ui", "--no-browser", *arguments],
        env={**os.environ, **environment(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout
    try:
        yield started.stdout.readline().strip(), started
    finally:
        started.kill()
        started.communicate()


def let_in(url: str) -> str:
    """The session that a browser gets for an address."""
    where = urlsplit(url)
    code = parse_qs(where.fragment)["code"][0]
    asked = urllib.request.Request(
        f"http://{where.netloc}/api/session",
        json.dumps({"secret": code}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        return str(json.load(answer)["session"])


def first_told(url: str, session: str, cluster: str, kind: str) -> dict[str, Any]:
    """The first event of a kind in the feed of a cluster."""
    where = f"http://{urlsplit(url).netloc}/api/feed?cluster={cluster}"
    asked = urllib.request.Request(where, headers={"Authorization": f"Bearer {session}"})
    with urllib.request.urlopen(asked) as feed:
        lines = iter(feed.readline, b"")
        next(line for line in lines if line == f"event: {kind}\n".encode())
        told: dict[str, Any] = json.loads(next(lines).removeprefix(b"data: "))
        return told


@pytest.mark.processes
def test_a_page_is_served_found_by_the_next_command_and_ends_with_its_signal(tmp_path: Path) -> None:
    with running(tmp_path) as (url, server):
        told = first_told(url, let_in(url), "nothing", "gone")
        assert "`vmcluster adopt nothing` rebuilds it" in told["message"], "calls are spelled as commands"
        with running(tmp_path, "lab") as (found, second):
            assert second.wait() == 0
            assert urlsplit(found).netloc == urlsplit(url).netloc
            assert found.endswith("&cluster=lab")
            assert let_in(found)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.stderr
        assert "until Ctrl-C" in server.stderr.read(), "a command that goes on says so"
        assert not (tmp_path / "state" / "door.json").exists()


@pytest.mark.processes
def test_the_address_of_a_page_that_was_killed_is_not_called(tmp_path: Path) -> None:
    with running(tmp_path) as (url, server):
        server.kill()
        server.wait()
    where = urlsplit(url)
    assert where.port
    with socket.create_server(("127.0.0.1", where.port)) as stranger, running(tmp_path) as (served, _):
        assert urlsplit(served).netloc != where.netloc
        assert let_in(served)
        stranger.setblocking(False)
        assert heard_by(stranger) == b""


@pytest.mark.processes
def test_a_page_with_options_of_its_own_is_another_one(tmp_path: Path) -> None:
    with running(tmp_path) as (url, _), running(tmp_path, "--allow-actions") as (other, _):
        assert urlsplit(other).netloc != urlsplit(url).netloc
        assert let_in(other)


def test_actions_need_a_page(invoke: Invoke) -> None:
    ended = invoke("watch", "--allow-actions")
    assert ended.code == 1
    assert "needs --http" in ended.err


@pytest.mark.parametrize("place", ["8765", "example.com:1", "127.0.0.1", "0.0.0.0:0", "127.0.0.1:99999"])
def test_a_place_where_no_page_can_be_served_is_refused(invoke: Invoke, place: str) -> None:
    ended = invoke("ui", "--http", place)
    assert ended.code == 1
    assert "127.0.0.1" in ended.err
