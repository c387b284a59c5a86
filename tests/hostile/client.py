"""A hostile client's sandbox, the real server in it, and what it is sent."""

import hashlib
import json
import os
import queue
import random
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.tally import memory_bytes
from tests.prepared import PreparedServer
from tests.waiting import PATIENCE_S

SECRET = "SECRET-5d1f"
"""In every file that no client may read."""
Json = dict[str, Any]
Picture = dict[str, tuple[int, int, str]]


@dataclass(frozen=True)
class Sandbox:
    """A host as far as a client can name it: `project`, where the server is started, may be changed; no more."""

    root: Path

    @classmethod
    def made_in(cls, root: Path) -> "Sandbox":
        """One with secrets of many kinds, and links to them from the project."""
        closed, project = root / "closed", root / "project"
        for directory in (
            closed / "home" / ".ssh",
            closed / "tree" / "sub",
            project / "build" / "sub",
            root / "topologies",
        ):
            directory.mkdir(parents=True)
        for name in ("home/.ssh/authorized_keys", "shadow", "tree/config", "tree/sub/config", "disk.qcow2", "lab.yaml"):
            (closed / name).write_text(f"{SECRET}: {SECRET}\n- {SECRET}\n")
            (closed / name).chmod(0o600)
        for name in ("build/config", "build/sub/config", "lab.yaml"):
            (project / name).write_text("open\n")
        for name, target in (("file", "shadow"), ("dir", "tree"), ("yaml.yaml", "lab.yaml"), ("gone", "nothing")):
            (project / f"link-{name}").symlink_to(closed / target)
        (root / "topologies" / "linked.yaml").symlink_to(closed / "lab.yaml")
        (root / "topologies" / "odd.yaml").write_text(f"{SECRET}: '\n")
        os.mkfifo(project / "pipe")
        return cls(root)

    @property
    def project(self) -> Path:
        """The server's directory."""
        return self.root / "project"

    @property
    def closed(self) -> Path:
        """A directory that clients have no access to."""
        return self.root / "closed"

    @property
    def environment(self) -> dict[str, str]:
        """Of a server of this host, whose libvirt is away."""
        places = ("TOPOLOGY_DIR=topologies", "STATE_DIR=state", "OVERLAY_DIR=overlays", "ARTIFACT_STORE_DIR=trees")
        files = ("ARTIFACT_REGISTRY=registry.json", "FAULT_REGISTRY=faults.json", "SSH_KEY_PATH=closed/home/.ssh/key")
        named = (each.partition("=") for each in (*places, *files))
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("VMCLUSTER_")},
            **{f"VMCLUSTER_{name}": str(self.root / value) for name, _, value in named},
            "VMCLUSTER_CONFIG": "",
            "VMCLUSTER_LIBVIRT_URI": f"qemu+unix:///system?socket={self.root}/no-libvirt",
            "HOME": str(self.closed / "home"),
        }

    def picture(self) -> Picture:
        """Every file that no client may change: its mode, its owner, and what is in it."""
        ours = ("state", "trees", "registry.json", "registry.json.lock", "faults.json")
        paths = (
            path for path in self.root.rglob("*") if path.relative_to(self.root).parts[0] not in (*ours, "project")
        )
        return {str(path): _looks_of(path) for path in (self.root, *paths)}

    def leaks(self) -> list[Path]:
        """Files that a client may have read or sent on, with a secret in them."""
        places = (self.root / "trees", self.root / "state", self.project)
        files = (path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        return [path for path in files if SECRET.encode() in path.read_bytes()]


def _looks_of(path: Path) -> tuple[int, int, str]:
    status = path.lstat()
    content = b""
    if stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    return status.st_mode, status.st_uid, hashlib.sha256(content).hexdigest()


class Server:
    """The real server, as a process that is sent raw lines; what it says is taken in as it comes."""

    def __init__(self, sandbox: Sandbox, *, listens: bool = True) -> None:
        self.process = PreparedServer(sandbox.project, sandbox.environment)
        self._said: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self.on_request: Callable[[Json], str] = refuse
        """What answers a request of the server's, as JSON without its `id`."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        if listens:
            self._listener.start()

    def greet(self, capabilities: Json | None = None) -> Json:
        """Shake hands as clients of 2025-11-25 do; the tools by name, with their schemas."""
        self.ask("initialize", greeting(capabilities))
        self.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return {tool["name"]: tool["inputSchema"] for tool in self.ask("tools/list", {})["tools"]}

    def send(self, *lines: str) -> None:
        """Lines as they are; a lone surrogate as the byte that it stands for."""
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
        self.process.stdin.flush()

    def answer(self) -> Json:
        """The next answer; what the server asks meanwhile is answered, and what it tells is passed over."""
        while True:
            said = self._said.get(timeout=PATIENCE_S)
            assert said is not None, f"the server has ended: {self.process.wait(PATIENCE_S)}"
            if "method" in said and "id" in said:
                self.send(f'{{"jsonrpc":"2.0","id":{json.dumps(said["id"])},{self.on_request(said)}}}')
            elif "method" not in said:
                return said

    def answers(self, count: int) -> list[Json]:
        """The next answers, in whatever order."""
        return [self.answer() for _ in range(count)]

    def ask(self, method: str, params: Json) -> Json:
        """The result of a request that nothing is wrong with; answers to what was asked before are passed over."""
        self.send(json.dumps({"jsonrpc": "2.0", "id": "asked", "method": method, "params": params}))
        while (said := self.answer()).get("id") != "asked":
            require_refused_or_done([said])
        result: Json = said["result"]
        return result

    def call(self, tool: str, arguments: Json) -> Json:
        """The envelope that a tool answers."""
        envelope: Json = self.ask("tools/call", {"name": tool, "arguments": arguments})["structuredContent"]
        return envelope

    def require_well(self) -> None:
        """It answers as before, no matter what it was sent."""
        answer = self.call("cluster_list", {})
        assert {key: answer[key] for key in ("success", "result", "error")} == {
            "success": True,
            "result": [],
            "error": None,
        }

    def memory_bytes(self, what: str = "VmRSS") -> int:
        """What the process has now; `VmHWM`: has had at most (proc(5))."""
        return memory_bytes(self.process.pid, what)

    def end(self) -> int:
        """Close its input; how it ended."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    def let_go(self) -> None:
        """Wait for a process that ends, and close its pipes."""
        self.process.wait()
        if self._listener.is_alive():
            self._listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)


def greeting(capabilities: Json | None = None) -> Json:
    """The first messages of a client."""
    client = {"name": "hostile", "version": "1"}
    return {"protocolVersion": "2025-11-25", "capabilities": capabilities or {}, "clientInfo": client}


def refuse(_: Json) -> str:
    """What a client answers that does not know a method."""
    return '"error":{"code":-32601,"message":"no such method"}'


@contextmanager
def serving(sandbox: Sandbox, *, listens: bool = True) -> Iterator[Server]:
    """A server that is ended whatever happens; its client may be one that does not listen."""
    server = Server(sandbox, listens=listens)
    try:
        yield server
    finally:
        server.process.kill()
        server.let_go()


@contextmanager
def meddling(turn: Callable[[], None]) -> Iterator[None]:
    """Repeats an action in a thread; it has been done at least once when the body begins."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            turn()

    turn()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def point_in_turn(name: Path, *targets: Path) -> None:
    """Have a link lead to each in turn; it is never away."""
    for target in targets:
        name.with_name(f"{name.name}.next").symlink_to(target)
        name.with_name(f"{name.name}.next").rename(name)


def be_in_turn(name: Path, real: Path, target: Path) -> None:
    """Have a name be the real thing, then a link to another, then nothing."""
    real.rename(name)
    name.rename(real)
    name.symlink_to(target)
    name.unlink()


def odd_values(sandbox: Sandbox) -> list[str]:
    """Values as JSON text that are wrong for most arguments, or look right."""
    project, closed = sandbox.project, sandbox.closed
    paths = [
        *(closed / "shadow", closed, closed / "new" / "file", closed / "home" / ".ssh" / "authorized_keys"),
        *(project / "build" / "config", project / "link-file", project / "link-dir", project / "link-dir" / "new"),
        *(project / "link-gone", project / "pipe", project, project / ".." / "closed" / "shadow", project / "new"),
        *(
            "/etc/shadow",
            "/etc/passwd",
            "/dev/zero",
            "/dev/stdin",
            "/proc/self/environ",
            "/proc/self/fd/0",
            "/proc/kcore",
        ),
        *("/", "//", "/.", "/..", "../../etc/passwd", "..", ".", "~/x", "", "/proc/self/root/etc/shadow", "a\0b"),
        *("/proc/self/cwd/../closed/shadow", f"/{'x' * 300}", f"/{'x/' * 2500}", "lab", "linked", "odd", "odd.yaml"),
    ]
    words = [
        *("all", "-rf", "$(reboot)", "`reboot`", "; reboot", "a,b,,c", ",", "\n", "\x1b[2J", "\u202e", "\U0001f600"),
        *("null", "true", "NaN", "0x10", "1e5", "-1", "10" * 200, "'", '"', "\\", "%s%n", "{0}", "${HOME}", "\ufeff"),
        *(
            "a" * 41,
            "a" * 100_000,
            "\uff21",
            "\u0130",
            "\u0661",
            "x" * 255,
            "con",
            "*",
            "?",
            "\ud800",
            "\udcff",
            "a\udfffb",
        ),
    ]
    numbers = [
        *("0", "-0", "1", "-1", "0.5", "1e-300", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 4000),
        *("-1" + "0" * 4000, "2147483648", "18446744073709551616", "1" + "0" * 400, "0.1e1", "1E400", "9" * 19),
    ]
    shapes = [
        *("null", "true", "false", "[]", "{}", "[[]]", "[null]", "[1,2]", '{"a":1}', '{"a":{"b":[]}}', '["n0",5,null]'),
        *(
            "[" * 150 + "]" * 150,
            '{"a":' * 150 + "1" + "}" * 150,
            "[" * 5000 + "]" * 5000,
            '{"":""}',
            "[" + "0," * 9999 + "0]",
        ),
        *('{"a":1,"a":2}', '["\\ud800"]', '{"\\udfff":1}', '{"\\u0000":"\\u0000"}', json.dumps(["x"] * 20_000)),
    ]
    return [*(json.dumps(str(path)) for path in paths), *map(json.dumps, words), *numbers, *shapes]


def fitting(schema: Mapping[str, Any], chance: random.Random) -> str:
    """A value of an argument's type, as JSON text."""
    kinds = [of for of in (*schema.get("anyOf", ()), schema) if "type" in of or "enum" in of or "const" in of]
    kind: Mapping[str, Any] = chance.choice(kinds) if kinds else {"type": "string"}
    if "enum" in kind or "const" in kind:
        return json.dumps(chance.choice(kind.get("enum") or [kind["const"]]))
    fits: dict[str, str] = {
        "boolean": chance.choice(["true", "false"]),
        "integer": str(max(1, kind.get("minimum", 1))),
        "array": json.dumps(["n0"] * chance.randrange(3)),
        "object": '{"KEY":"value"}',
        "null": "null",
        "string": json.dumps("x" * max(3, kind.get("minLength", 0))),
    }
    types = [kind["type"]] if isinstance(kind["type"], str) else kind["type"]  # a schema may list several
    chosen = chance.choice(types)
    return fits[{"number": "integer"}.get(chosen, chosen)]


def hostile_call(number: int, tools: Json, odd: list[str], chance: random.Random) -> str:
    """A line that calls a tool with mostly invalid arguments."""
    name = chance.choice(list(tools))
    properties: Json = tools[name]["properties"]
    arguments = {key: fitting(schema, chance) for key, schema in properties.items() if chance.random() < 0.8}
    for _ in range(chance.randrange(4)):
        arguments[chance.choice([*properties, "cluster_name", "extra"])] = chance.choice(odd)
    told = ",".join(f"{json.dumps(key)}:{value}" for key, value in arguments.items())
    whole = f"{{{told}}}" if chance.random() < 0.98 else chance.choice(odd)
    return line_of(number, name, whole)


def line_of(number: int, tool: str, arguments: str) -> str:
    """A call, its arguments as JSON text."""
    params = f'{{"name":{json.dumps(tool)},"arguments":{arguments}}}'
    return f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{params}}}'


def require_refused_or_done(answers: Iterable[Json]) -> None:
    """Each is an envelope, or an error of the protocol; none is a defect, none tells a secret."""
    for said in answers:
        assert SECRET not in json.dumps(said), said
        if "error" in said:
            assert said["error"]["code"] in {-32700, -32600, -32602, -32601}, said
            continue
        error = said["result"]["structuredContent"]["error"]
        assert error is None or error["code"] != "INTERNAL_ERROR", said
