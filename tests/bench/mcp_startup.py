"""Time from spawning the MCP server to its answered `tools/list`, beside a bare SDK server with as many tools.

    python tests/bench/mcp_startup.py [ROUNDS]

Both are spawned in turn, so that what else the machine does hits both alike.
"""

import json
import statistics
import subprocess
import sys
import time
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


def seconds_to_tools(command: list[str]) -> tuple[float, int]:
    """Spawn a server; how long it took to list its tools, and how many they are."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        _write(server.stdin, {"id": 1, "method": "initialize", "params": _INITIALIZE})
        server.stdout.readline()
        _write(server.stdin, {"method": "notifications/initialized"})
        _write(server.stdin, {"id": 2, "method": "tools/list"})
        tools = json.loads(server.stdout.readline())["result"]["tools"]
        took = time.perf_counter() - began
        server.stdin.close()
        server.wait(timeout=10)
    return took, len(tools)


def medians(rounds: int) -> tuple[float, float]:
    """Median seconds of our server and of the bare one."""
    ours = [sys.executable, "-m", "reconciler"]
    _, tools = seconds_to_tools(ours)
    bare = [sys.executable, "-c", _BARE.format(tools=tools)]
    seconds_to_tools(bare)
    times = [(seconds_to_tools(ours)[0], seconds_to_tools(bare)[0]) for _ in range(rounds)]
    return statistics.median(one for one, _ in times), statistics.median(other for _, other in times)


def _write(stream: IO[bytes], message: dict[str, object]) -> None:
    stream.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    own_s, bare_s = medians(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    print(
        f"spawn to tools/list: vmcluster-mcp {own_s:.3f} s, bare SDK server {bare_s:.3f} s, ratio {own_s / bare_s:.2f}"
    )
    sys.exit(own_s > LIMIT * bare_s)
