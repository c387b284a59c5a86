"""The server as a process: what it prints where, how it ends, and what it imports before it is needed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.processes]

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
LIST_CLUSTERS = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "cluster_list"}}


class Server:
    """A server process that is spoken to by hand."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reconciler"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, message: dict[str, object]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, object]:
        assert self.process.stdout
        message: dict[str, object] = json.loads(self.process.stdout.readline())
        return message

    def greet(self) -> None:
        self.send(INITIALIZE)
        assert self.receive()["id"] == 1
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def end(self) -> tuple[str, str]:
        return self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def server(configuration: dict[str, str]) -> Iterator[Server]:
    server = Server()
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_cleanly_at_a_signal_though_the_client_stays(server: Server, number: signal.Signals) -> None:
    server.greet()
    server.process.send_signal(number)
    assert server.process.wait(timeout=PATIENCE_S) == 0
    out, err = server.end()
    assert (out, err) == ("", "")


def test_the_server_goes_on_after_a_line_that_is_not_json_and_ends_cleanly_when_the_client_leaves(
    server: Server,
) -> None:
    server.greet()
    assert server.process.stdin
    server.process.stdin.write("what?\n")
    server.send(LIST_CLUSTERS)
    while server.receive().get("id") != 2:
        pass
    out, err = server.end()
    assert (server.process.returncode, out) == (0, ""), "only messages go to standard output"
    events = [json.loads(line) for line in err.splitlines()]
    (call,) = [event for event in events if event["event"] == "tool_call"]
    assert (call["tool"], call["outcome"], call["actor"]) == ("cluster_list", "success", "mcp:test")


@pytest.mark.parametrize(
    ("streams", "code", "said"), [("<&-", 0, ""), ("2>&-", 0, ""), (">/dev/full", 1, "cannot write to the client")]
)
def test_a_client_that_gives_it_no_stream_ends_the_server_without_a_trace(
    configuration: dict[str, str], streams: str, code: int, said: str
) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "reconciler"],
        input=json.dumps(INITIALIZE) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, reconciler.frontends.mcp.server, reconciler.frontends.mcp.{}; print(*sys.modules)"
    script = "\n".join(map(code.format, ("cluster_server", "tool_calls, reconciler.frontends.mcp.tool_usecases")))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    at_the_start, at_the_first_call = done.stdout.splitlines()
    heavy = {
        "reconciler.frontends.mcp.http_server",
        "reconciler.frontends.mcp.tools",
        "reconciler.model.results",
        "libvirt",
        "asyncssh",
        "pycdlib",
        "sqlite3",
        "lxml",
        "structlog",
        "yaml",
    }
    assert heavy.isdisjoint(at_the_start.split())
    needed_by_few = {"aetcd", "asyncssh", "grpc", "pycdlib", "lxml", "prometheus_client", "zstandard"}
    assert needed_by_few.isdisjoint(at_the_first_call.split())
