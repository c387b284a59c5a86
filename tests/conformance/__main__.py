"""Run the public conformance suite for MCP servers against ours, over HTTP: `python -m tests.conformance`.

It comes from npm (`@modelcontextprotocol/conformance`) and needs Node 22, which comes from there as well. What is
expected to fail, and why, is in expected_failures.yaml: a scenario that fails without being there is an error, and so
is one there that passes. Without npm nothing is run, and that is said.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from mcp.server.transport_security import TransportSecuritySettings

from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.http_server import http_app

SUITE = "@modelcontextprotocol/conformance@0.1.16"
NODE, NODE_MAJOR = "node@22.23.3", 22
EXPECTED = Path(__file__).with_name("expected_failures.yaml")
INSTALLED = Path(__file__).parents[2] / "build" / "conformance"
_TOKEN = "conformance"
_PATIENCE_S = 120


def expected_failures(text: str) -> dict[str, str]:
    """The scenarios that are expected to fail, each with its reason."""
    return {scenario: group["reason"] for group in yaml.safe_load(text) for scenario in group["scenarios"]}


def main() -> int:
    """The suite's exit code; 0 where there is no npm."""
    if shutil.which("npm") is None:
        print("conformance: NOT RUN: there is no npm on this machine (on Debian and Ubuntu: apt-get install npm)")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        baseline = Path(directory, "baseline.yml")
        expected = expected_failures(EXPECTED.read_text())
        baseline.write_text(yaml.safe_dump({"server": sorted(expected)}))
        _install()
        with _served(Path(directory)) as url:
            run = [*_suite(), "server", "--suite", "all", "--url", url, "--expected-failures", str(baseline)]
            ended = subprocess.run(run, cwd=directory, env=_environment(), timeout=_PATIENCE_S, check=False)
    for scenario, reason in sorted(expected.items()):
        print(f"expected to fail: {scenario}: {reason}")
    return ended.returncode


def _install() -> None:
    packages = [SUITE, *([] if _node_is_new_enough() else [NODE])]
    if all((INSTALLED / "node_modules" / name.rpartition("@")[0]).exists() for name in packages):
        return
    INSTALLED.mkdir(parents=True, exist_ok=True)
    options = ["--no-fund", "--no-audit", "--no-save", "--prefix", str(INSTALLED)]
    subprocess.run(["npm", "install", *options, *packages], check=True)


def _node_is_new_enough() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", said)
    return found is not None and int(found[1]) >= NODE_MAJOR


def _suite() -> list[str]:
    return [str(INSTALLED / "node_modules" / ".bin" / "conformance")]


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{INSTALLED}/node_modules/.bin:{os.environ['PATH']}", "NO_COLOR": "1"}


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    """Our server with an empty store, at a URL."""
    places = {"STATE_DIR": directory / "state", "TOPOLOGY_DIR": directory / "topologies", "CONFIG": ""}
    os.environ |= {f"VMCLUSTER_{name}": str(of) for name, of in places.items()}
    config = uvicorn.Config(_with_token, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    until = time.monotonic() + _PATIENCE_S
    while not server.started and serving.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        serving.join(_PATIENCE_S)


_security = TransportSecuritySettings(
    allowed_hosts=["127.0.0.1:*", "localhost:*"], allowed_origins=["http://127.0.0.1:*", "http://localhost:*"]
)
_app = http_app(ClusterServer(local=False), _TOKEN, _security)


async def _with_token(scope: Any, receive: Any, send: Any) -> None:
    headers = [*scope.get("headers", ()), (b"authorization", f"Bearer {_TOKEN}".encode())]
    await _app({**scope, "headers": headers} if scope["type"] == "http" else scope, receive, send)


if __name__ == "__main__":
    sys.exit(main())
