"""From spawning the MCP server to its answered `tools/list`, beside a bare SDK server with as many tools.

    python tests/bench/mcp_startup.py [ROUNDS]

Both are spawned in turn, so that what else the machine does hits both alike. The processor time tells more than the
clock where much else runs.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO

LIMIT = 1.1
"""How many times as long as the bare server ours may take."""

_BARE = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("bare")
for number in range({tools}):
    def tool(cluster_name: str, wait: bool = True, timeout_s: float = 120) -> dict[str, str]:
        "Do something."
        return {{}}
    server.add_tool(tool, name=f"tool_{{number}}")
server.run("stdio")
"""
_INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Start:
    """What it took a server to list its tools: by the clock, and of a processor."""

    clock_s: float
    processor_s: float


def start_of(command: list[str]) -> tuple[Start, int]:
    """Spawn a server, and kill it when it has listed its tools; what that took, and how many tools they are."""
    began = time.perf_counter()
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        _write(server.stdin, {"id": 1, "method": "initialize", "params": _INITIALIZE})
        server.stdout.readline()
        _write(server.stdin, {"method": "notifications/initialized"})
        _write(server.stdin, {"id": 2, "method": "tools/list"})
        answer = server.stdout.readline()
        took = time.perf_counter() - began
        server.kill()
        _, status, used = os.wait4(server.pid, 0)
        server.returncode = os.waitstatus_to_exitcode(status)
    return Start(took, used.ru_utime + used.ru_stime), len(json.loads(answer)["result"]["tools"])


def medians(rounds: int) -> tuple[Start, Start]:
    """The medians of our server and of the bare one."""
    ours = [sys.executable, "-m", "reconciler"]
    _, tools = start_of(ours)
    bare = [sys.executable, "-c", _BARE.format(tools=tools)]
    start_of(bare)
    starts = [(start_of(ours)[0], start_of(bare)[0]) for _ in range(rounds)]
    return _median([one for one, _ in starts]), _median([other for _, other in starts])


def _median(starts: list[Start]) -> Start:
    return Start(
        statistics.median(of.clock_s for of in starts),
        statistics.median(of.processor_s for of in starts),
    )


def _write(stream: IO[bytes], message: dict[str, object]) -> None:
    stream.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    own, bare = medians(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    for what, own_s, bare_s in (
        ("spawn to tools/list", own.clock_s, bare.clock_s),
        ("of it processor time", own.processor_s, bare.processor_s),
    ):
        print(f"{what}: vmcluster-mcp {own_s:.3f} s, bare SDK server {bare_s:.3f} s, ratio {own_s / bare_s:.2f}")
    sys.exit(own.processor_s > LIMIT * bare.processor_s)
