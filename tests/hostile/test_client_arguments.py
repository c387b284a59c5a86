"""What a hostile client sends to the real server: each line has an answer, none is a defect, nothing else changes."""

import json
import lzma
import os
import random
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.hostile import ROUNDS, SEED
from tests.hostile.client import (
    Json,
    Sandbox,
    Server,
    greeting,
    hostile_call,
    line_of,
    odd_values,
    require_refused_or_done,
    serving,
)
from tests.hostile.tally import Tally
from tests.unit.artifacts.samples import elf
from tests.unit.desired.files import GIB, qcow2_header

AT_ONCE = 20
TAKERS = (("node_exec", "stdin"), ("cluster_plan", "topology"), ("artifact_register", "source_path"))
MANY = 10 * 1024 * 1024


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox.made_in(tmp_path)


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[Server]:
    """One that has answered before, after which nothing has changed that no client may change."""
    with serving(sandbox) as server:
        before = sandbox.picture()
        yield server
        server.require_well()
        assert sandbox.picture() == before
        assert sandbox.leaks() == []


def test_no_argument_of_any_tool_is_more_than_an_error(server: Server, sandbox: Sandbox, tally: Tally) -> None:
    tools, chance, odd = server.greet(), random.Random(SEED), odd_values(sandbox)
    server.require_well()
    before = server.memory_bytes()
    for start in range(0, ROUNDS, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, ROUNDS))
        server.send(*(hostile_call(number, tools, odd, chance) for number in numbers))
        answers = server.answers(len(numbers))
        require_refused_or_done(answers)
        assert {said["id"] for said in answers} <= {*numbers, None}
    tally.tried(ROUNDS)
    tally.grew(server.memory_bytes("VmHWM") - before)


KINDS = ["null", "true", "7", "-0.5", '"text"', '""', "[]", '["text", 7, null]', "{}", '{"key": {"key": 7}}', "NaN"]


def test_no_argument_of_another_type_is_more_than_an_error(server: Server, tally: Tally) -> None:
    tools = server.greet()
    calls = [(name, key, value) for name, schema in tools.items() for key in schema["properties"] for value in KINDS]
    tried = random.Random(SEED).sample(calls, min(ROUNDS, len(calls)))
    for number, (name, key, value) in enumerate(tried):
        others = {of: "x" for of in tools[name].get("required", ()) if of != key}
        server.send(
            line_of(number, name, f"{json.dumps(others)[:-1]}{', ' if others else ''}{json.dumps(key)}:{value}}}")
        )
        require_refused_or_done([server.answer()])
    tally.tried(len(tried))


def test_ten_megabytes_of_anything_is_read_once_and_let_go(server: Server, tally: Tally) -> None:
    server.greet()
    server.require_well()
    before = server.memory_bytes()
    texts = ["x" * MANY, "\U0001f600" * (MANY // 4), "\\\\u0000" * (MANY // 6), "/" * MANY]
    whole = [f'"{text}"' for text in texts]
    whole += [f'["{"x" * MANY}"]', "[" + "0," * (MANY // 4) + "0]", f'{{"{"k" * MANY}":1}}', "1" + "0" * MANY]
    for number, value in enumerate(whole):
        tool, argument = TAKERS[number % len(TAKERS)]
        server.send(line_of(number, tool, f'{{"{argument}":{value}}}'))
        require_refused_or_done([server.answer()])
    server.send(line_of(99, "node_exec", f'{{"command":"{"x" * 2 * MANY}"}}'))
    assert "a message has at most" in server.answer()["error"]["message"]
    tally.grew(server.memory_bytes("VmHWM") - before)


ODD_LINES = [
    *("[" * 100_000, "{" * 100_000, '"', "null", "[]", "{}", "1" * 100_000, "NaN", '{"jsonrpc":"2.0"}', "\udcff\udcfe"),
    *(
        '{"jsonrpc":"2.0","id":1}',
        '{"jsonrpc":"2.0","id":1,"method":5}',
        '{"jsonrpc":"2.0","id":null,"method":"tools/call"}',
    ),
    *('{"jsonrpc":"2.0","id":[],"method":"tools/list"}', '{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}'),
    *('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', '{"jsonrpc":"2.0","id":1,"method":"tools/call"}'),
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cluster_list","arguments":"\\ud800"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["cluster_list"]}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"no_such_tool","arguments":{}}}',
    f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{"x" * 100_000}"}}}}',
    f'{{"jsonrpc":"2.0","id":{"1" * 5000},"method":"tools/list"}}',
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":[],"capabilities":7,"clientInfo":null}}',
    '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///etc/shadow"}}',
    '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}',
]


@pytest.mark.parametrize("greeted", [True, False])
def test_no_line_is_more_than_an_error(sandbox: Sandbox, greeted: bool) -> None:
    with serving(sandbox) as server:
        if greeted:
            server.greet()
        for line in ODD_LINES:
            server.send(line)
            require_refused_or_done([server.answer()])
        if not greeted:
            server.greet()
        server.require_well()


def test_calls_that_are_given_up_leave_a_server_that_answers(server: Server, sandbox: Sandbox, tally: Tally) -> None:
    tools, chance, odd = server.greet(), random.Random(SEED), odd_values(sandbox)
    before = server.memory_bytes()
    starts = range(0, max(AT_ONCE, ROUNDS // 10), AT_ONCE)
    for start in starts:
        numbers = range(start, start + AT_ONCE)
        calls = [hostile_call(number, tools, odd, chance) for number in numbers]
        calls += [line_of(1000 + number, "artifact_register", json.dumps({"source_path": "/"})) for number in range(3)]
        given_up = [
            f'{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number}}}}}'
            for number in [*chance.sample(numbers, 10), 1000, 1001, 10**6]
        ]
        lines = [*calls, *given_up]
        chance.shuffle(lines)
        server.send(*lines)
        assert server.ask("ping", {}) == {}
    tally.tried(len(starts) * AT_ONCE)
    tally.grew(server.memory_bytes("VmHWM") - before)


@pytest.mark.parametrize("beginning", ["", '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cluster_l'])
def test_an_input_that_ends_within_a_line_ends_the_server(sandbox: Sandbox, beginning: str) -> None:
    with serving(sandbox) as server:
        server.greet()
        server.require_well()
        server.send(*(line_of(number, "cluster_list", "{}") for number in range(50)))
        server.process.stdin.write(beginning.encode())
        assert server.end() == 0


def test_a_client_that_reads_nothing_and_leaves_ends_the_server(sandbox: Sandbox) -> None:
    with serving(sandbox, listens=False) as server:
        server.send('{"jsonrpc":"2.0","id":0,"method":"initialize","params":' + json.dumps(greeting()) + "}")
        server.send(*(f'{{"jsonrpc":"2.0","id":{number},"method":"tools/list"}}' for number in range(20)))
        server.process.stdout.close()
        assert server.end() in {0, 1}


ROOTS = [
    *('"result":{"roots":[{"uri":"file:///"}]}', '"result":{"roots":[]}', '"result":{"roots":[{"uri":"http://x/"}]}'),
    *(
        '"result":{"roots":7}',
        '"result":{}',
        '"error":{"code":1,"message":"no"}',
        '"result":{"roots":[{"uri":"file:"}]}',
    ),
    f'"result":{{"roots":{json.dumps([{"uri": "file:///" + "x/" * 500}] * 300)}}}',
    '"result":{"roots":[{"uri":"file:///%00/etc"},{"uri":"file://host/etc"},{"uri":"file:///x/../../etc/.."}]}',
    '"result":{"roots":[{"uri":"file:///proc/self/root/"},{"uri":"file:///etc/.."},{"uri":"file:///proc/1/root"}]}',
]


def test_no_roots_that_a_client_may_name_open_the_whole_host_or_break_it(server: Server, sandbox: Sandbox) -> None:
    server.greet({"roots": {"listChanged": True}})
    for roots in ROOTS:
        server.on_request = partial(answering, roots)
        said = server.call("artifact_register", {"source_path": str(sandbox.closed / "tree")})
        assert said["error"]["code"] in {"INVALID_ARGUMENT", "OPERATION_FAILED"}, roots


def answering(roots: str, _: Json) -> str:
    return roots


def test_modules_of_any_size_cost_a_registration_no_memory(server: Server, sandbox: Sandbox, tally: Tally) -> None:
    """Packed ones too: in a module nearly all is one section, which claims to hold what is looked for."""
    build, size = sandbox.project / "modules", 400 << 20
    build.mkdir()
    module = bytearray(elf({b".modinfo": b""}))
    struct.pack_into("<Q", module, len(module) - 2 * 64 + 32, size)  # sh_size of the last section but one, elf(5)
    with (build / "large.ko").open("wb") as file:
        file.write(module)
        file.truncate(size // 2)
    packer = lzma.LZMACompressor(preset=0)
    packed = packer.compress(bytes(module)) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20))
    packed += packer.flush()
    for number in range(3):
        (build / f"bomb{number}.ko.xz").write_bytes(packed)
    server.greet()
    server.require_well()
    before = server.memory_bytes()
    assert server.call("artifact_register", {"source_path": str(build)})["success"]
    tally.grew(server.memory_bytes("VmHWM") - before)


ONE_NODE = """\
cluster_name: lab
base_image: {image}
network: {{name: labnet, bridge: virbr-lab, subnet: 10.7.0.0/24}}
nodes: [{{name: a, vcpus: 1, memory_mb: 512, ip: 10.7.0.10}}]
"""


def test_files_that_are_looked_for_beside_others_cost_no_memory_of_whatever_size(
    server: Server, sandbox: Sandbox, tally: Tally
) -> None:
    image, build = sandbox.project / "image.qcow2", sandbox.project / "kernel"
    image.write_bytes(qcow2_header(GIB))
    (build / "include" / "config").mkdir(parents=True)
    for path in (image.with_suffix(".json"), build / "include" / "config" / "kernel.release"):
        path.touch()
        os.truncate(path, 400 << 20)
    topology = ONE_NODE.format(image=image)
    server.greet()
    server.require_well()
    before = server.memory_bytes()
    assert server.call("cluster_plan", {"topology_yaml": topology})["error"]["code"] == "TOPOLOGY_INVALID", "no key"
    assert server.call("artifact_register", {"source_path": str(build)})["success"]
    tally.grew(server.memory_bytes("VmHWM") - before)


MILLIONS = {
    "lists as words": ("node_exec", '"env":{' + ",".join(f'"{number:x}":[]' for number in range(600_000)) + "}"),
    "the same as text": (
        "node_exec",
        '"env":' + json.dumps("{" + ",".join(f'"{number:x}":[]' for number in range(500_000)) + "}"),
    ),
    "empty groups": ("net_partition", '"groups":[' + "[]," * 2_000_000 + "[]]"),
    "unknown arguments": ("cluster_status", ",".join(f'"{number:x}":1' for number in range(40_000))),
    "unknown arguments of a tool that needs none": (
        "cluster_list",
        ",".join(f'"{number:x}":1' for number in range(40_000)),
    ),
    "a name without end": ("cluster_status", '"' + "cluster_name" * 1_000_000 + '":1'),
    "quotes that nothing closes": ("node_exec", '"command":"' + "\\\",'" * 3_000_000),
}


@pytest.mark.parametrize("sent", MILLIONS)
def test_millions_of_values_cost_one_error_and_little_memory(server: Server, sent: str) -> None:
    tool, arguments = MILLIONS[sent]
    server.greet()
    server.require_well()
    before = server.memory_bytes()
    server.send(line_of(7, tool, f"{{{arguments}}}"))
    said = server.answer()
    require_refused_or_done([said])
    assert said["id"] in {7, None}
    assert len(json.dumps(said)) < 40_000
    assert server.memory_bytes("VmHWM") - before < 150 << 20


@pytest.mark.parametrize("identity", ["007", "-1", '"a\tb"', '"\udc80"', '"\\u0000"', "[]", "9" * 20, '"x"'])
def test_no_identity_of_a_message_that_is_refused_unread_ends_the_server(server: Server, identity: str) -> None:
    server.greet()
    many = f'"method":"tools/call","params":[{"0," * 60_000}0]'
    for line in (f'{{"id":{identity},{many}}}', f'{{{many},"id":{identity}}}'):
        server.send(line)
        said = server.answer()
        assert "at most 50000 values" in said["error"]["message"]
        assert said["id"] == ("x" if identity == '"x"' else None)
