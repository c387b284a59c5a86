"""What comes over the wire as it is, byte by byte: every request has an answer, whatever was in it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mcp_types import JSONRPCNotification, JSONRPCResponse

from reconciler.frontends.mcp.stdio_messages import render_message
from tests.unit.frontends.mcp.test_process import INITIALIZE

HUGE = "1" + "0" * 5000
COMMAND = '"cluster_name":"lab","node_name":"a","command":"x"'


class Wire:
    """A server process that is sent raw lines."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "reconciler"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.ask(json.dumps(INITIALIZE).encode())
        self._send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def ask(self, line: bytes) -> dict[str, Any]:
        self._send(line)
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def call(self, tool: str, arguments: str) -> dict[str, Any]:
        request = (
            f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}'
        )
        answer = self.ask(request.encode("utf-8", "surrogateescape"))
        assert answer["id"] == 7
        envelope: dict[str, Any] = answer["result"]["structuredContent"]
        assert json.loads(answer["result"]["content"][0]["text"]) == envelope
        return envelope

    def _send(self, line: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    here = tmp_path_factory.mktemp("wire")
    places = {"VMCLUSTER_CONFIG": "", "VMCLUSTER_STATE_DIR": f"{here}/state", "HOME": str(here)}
    wire = Wire({**os.environ, **places, "VMCLUSTER_LIBVIRT_URI": f"qemu+unix:///system?socket={here}/none"})
    yield wire
    wire.process.kill()
    wire.process.communicate()


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("node_exec", f'{{{COMMAND},"timeout_s":{"1" + "0" * 4000}}}', "'timeout_s' should be a valid number"),
        ("node_exec", f'{{{COMMAND},"timeout_s":{HUGE}}}', "'timeout_s' should be"),
        ("node_exec", f'{{{COMMAND},"timeout_s":-{HUGE}}}', "'timeout_s' should be a finite number"),
        ("node_exec", f'{{{COMMAND},"timeout_s":NaN}}', "'timeout_s' should be"),
        ("node_exec", f'{{{COMMAND},"timeout_s":-Infinity}}', "'timeout_s' should be"),
        ("node_exec", f'{{{COMMAND},"timeout_s":1e400}}', "'timeout_s' should be"),
        ("net_impair", '{"cluster_name":"lab","source_node":"a","latency_ms":Infinity}', "'latency_ms' should be"),
        ("node_exec", f'{{{COMMAND},"env":{{"A":{HUGE}}}}}', "'env' should be a valid string"),
        ("node_exec", f'{{{COMMAND},"env":{{"A":NaN}}}}', "'env' should be a valid string"),
        ("node_console", f'{{"cluster_name":"lab","node_name":"a","tail":{HUGE}}}', "'tail' should be"),
        (
            "net_partition",
            f'{{"cluster_name":"lab","partition_a":[],"partition_b":[],"seed":{HUGE}}}',
            "'seed' should be",
        ),
        ("node_exec", f'{{{COMMAND},"stdin":"a\\ud800b"}}', "'stdin' holds half of a surrogate pair"),
        ("node_exec", f'{{{COMMAND},"stdin":"\udcff"}}', "'stdin' holds half of a surrogate pair"),
        ("node_exec", f'{{{COMMAND},"env":{{"A":"\\udc80"}}}}', "'env' holds half of a surrogate pair"),
        ("node_exec_all", '{"cluster_name":"lab","command":"x","nodes":["\\ud800"]}', "'nodes' holds half"),
        ("cluster_status", '{"cluster_name":"\\udfff"}', "'cluster_name' holds half"),
        ("cluster_status", '{"cluster_name":"lab","\\ud800":1}', r"no argument '\\ud800'"),
        ("cluster_status", "[1]", "no argument 'arguments'; argument 'cluster_name' is missing"),
        ("cluster_status", "7", "no argument 'arguments'"),
        ("cluster_status", '"lab"', "no argument 'arguments'"),
        ("cluster_status", "null", "argument 'cluster_name' is missing"),
        ("cluster_status", '"{\\"cluster_name\\": 7}"', "'cluster_name' should be a valid string, not 7"),
        ("cluster_status", '{"cluster_name":' + "[" * 150 + "]" * 150 + "}", "'cluster_name' should be a valid string"),
    ],
)
def test_what_does_not_fit_is_answered_in_the_envelope(wire: Wire, tool: str, arguments: str, words: str) -> None:
    error = wire.call(tool, arguments)["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert words.replace("\\\\", "\\") in error["message"].replace("\\\\", "\\")
    assert "pydantic" not in error["message"]


@pytest.mark.parametrize("stdin", ['{"a": 1}', "null", "\U0001f600", "\\ud83d\\ude00", "\\u0000"])
def test_standard_input_of_any_kind_is_taken(wire: Wire, stdin: str) -> None:
    arguments = f'{{{COMMAND},"stdin":{json.dumps(stdin)},"env":null,"timeout_s":null}}'
    assert wire.call("node_exec", arguments)["error"]["code"] == "CLUSTER_NOT_FOUND"


@pytest.mark.parametrize(
    ("line", "code", "identity"),
    [
        (b"what?", -32700, None),
        (b"\xff\xfe{}", -32700, None),
        (b"[" * 100_000, -32700, None),
        (b"[1]", -32600, None),
        (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":' + b"[" * 500 + b"]" * 500 + b"}}", -32600, 9),
        (b'{"jsonrpc":"2.0","id":8,"method":7}', -32600, 8),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"_meta":{"progressToken":"\\ud800"}}}', -32600, 9),
    ],
)
def test_a_line_that_is_no_message_is_answered_too(wire: Wire, line: bytes, code: int, identity: int | None) -> None:
    answer = wire.ask(line)
    assert (answer["error"]["code"], answer["id"]) == (code, identity)
    assert wire.call("cluster_list", "{}")["success"]


@pytest.mark.parametrize("before", [b"\n", b"\r\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_empty_lines_and_a_byte_order_mark_are_passed_over(wire: Wire, before: bytes) -> None:
    assert wire.ask(before + b'{"jsonrpc":"2.0","id":70,"method":"ping"}')["id"] == 70


def test_what_a_guest_or_a_file_is_called_never_breaks_the_line() -> None:
    said = {"names": ["a\ud800b", float("nan")], "text": "ü\n"}
    response = json.loads(render_message(JSONRPCResponse(jsonrpc="2.0", id=1, result=said)))
    assert response["result"] == {"names": ["a\\ud800b", None], "text": "ü\n"}
    told = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"message": "\udc80"})
    assert json.loads(render_message(told))["params"]["message"] == "\\udc80"
