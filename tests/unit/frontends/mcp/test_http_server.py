"""Streamable HTTP: a bearer token, hosts and origins, TLS, several clients, every revision."""

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from reconciler.errors import ConfigurationInvalid
from reconciler.frontends.mcp.http_server import token_in
from reconciler.frontends.mcp.server_options import HttpPlace, options_of
from tests.waiting import PATIENCE_S

from .conftest import agent_of

NEWEST = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Served:
    """A server process that listens on the loopback interface."""

    process: subprocess.Popen[str]
    url: str
    token: str

    def post(self, message: object, /, **headers: str) -> tuple[int, str]:
        """Status and body of one request; `headers` replace those of a well-behaved client."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        own = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url, body, {**own, **named})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def request(self, method: str, revision: str, **params: Any) -> dict[str, Any]:
        """The answer to one request, whether it comes as JSON or as an event."""
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        more = {"MCP_Protocol_Version": revision}
        if revision == NEWEST:
            message["params"] = {**params, "_meta": META}
            more["Mcp_Method"] = method
            if "name" in params:
                more["Mcp_Name"] = params["name"]
        status, body = self.post(message, **more)
        assert status == 200, (status, body)
        lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith(("data: {", "{"))]
        said: dict[str, Any] = json.loads(lines[-1])
        assert said["id"] == 7
        return said


def serve(*options: str) -> Served:
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--http", "127.0.0.1:0", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stderr
    line = process.stderr.readline()
    found = re.match(r"vmcluster-mcp: serving at (https?://\S+), token in (\S+)$", line)
    assert found, line + process.stderr.read()
    return Served(process, found[1], Path(found[2]).read_text().strip())


@pytest.fixture
def served(configuration: dict[str, str]) -> Iterator[Served]:
    server = serve("--confirm", "destructive")
    yield server
    server.process.kill()
    server.process.communicate()


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.long
@pytest.mark.processes
async def test_clients_of_every_revision_are_answered_side_by_side(served: Served, configuration: Any) -> None:
    file = await asyncio.to_thread(os.stat, Path(configuration["VMCLUSTER_STATE_DIR"], "mcp-token"))
    assert file.st_mode & 0o777 == 0o600
    for revision in ("2025-06-18", "2025-11-25", NEWEST):
        tools = (await asyncio.to_thread(served.request, "tools/list", revision))["result"]["tools"]
        assert len(tools) > 50
        called = await asyncio.to_thread(served.request, "tools/call", revision, name="cluster_list", arguments={})
        assert called["result"]["structuredContent"]["result"] == []

    async def visit(mode: Any) -> str:
        async def yes(*_: Any) -> ElicitResult:
            return ElicitResult(action="accept", content={"confirm": True})

        callback: Any = yes
        web = httpx.AsyncClient(headers={"Authorization": f"Bearer {served.token}"})
        async with web:
            transport = streamable_http_client(served.url, http_client=web)
            async with Client(transport, cache=None, mode=mode, elicitation_callback=callback) as client:
                agent = await agent_of(client)
                assert (await agent.call("cluster_list"))["result"] == []
                return str((await agent.call("cluster_stop", cluster_name="lab"))["error"]["code"])

    codes = await asyncio.gather(*map(visit, ["auto", "legacy"] * 3))
    # without sessions an old client cannot be asked
    assert codes == ["CLUSTER_NOT_FOUND", "APPROVAL_REQUIRED"] * 3

    assert served.post(PING, Authorization="Bearer wrong")[0] == 401
    assert served.post(PING, Authorization=f"bearer {served.token}")[0] == 200
    assert served.post(PING, Authorization=served.token)[0] == 401
    assert served.post(PING, Host="evil.example:80")[0] == 421
    assert served.post(PING, Origin="http://evil.example")[0] == 403
    assert served.post(PING, Origin=served.url.removesuffix("/mcp"))[0] == 200
    for garbage in (b"what?", b"", b"\xff\xfe", b'{"jsonrpc": "2.0", "id": 1, "x": "\\ud800"}', b"[" * 100_000):
        status, said = served.post(garbage)
        assert status == 400, garbage[:20]
        assert json.loads(said)["error"]["message"]
    assert served.post(b"[" + b"1," * 60_000 + b"1]")[0] == 400
    assert served.post(b" " * (17 * 1024 * 1024))[0] == 413
    assert served.post(PING)[0] == 200

    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE_S) in {0, -signal.SIGTERM}


@pytest.mark.long
@pytest.mark.processes
def test_a_certificate_makes_it_https(configuration: dict[str, str], tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    command = ["openssl", *words.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    server = serve("--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        assert server.url.startswith("https://127.0.0.1:")
        request = urllib.request.Request(
            server.url,
            json.dumps(PING).encode(),
            {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json", "Accept": "*/*"},
        )
        trusting = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=trusting) as answer:
            assert answer.status == 200
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--http", "0.0.0.0:80"], "the token would pass in the clear"),
        (["--http", "[::]:80", "--tls-cert", "/c"], "belong together"),
        (["--http", "example.org:80"], "is not ADDRESS:PORT"),
        (["--http", "127.0.0.1"], "is not ADDRESS:PORT"),
        (["--http", "127.0.0.1:99999"], "is not ADDRESS:PORT"),
        (["--http", "user@127.0.0.1:80"], "is not ADDRESS:PORT"),
        (["--token-file", "/x"], "--token-file needs --http"),
    ],
)
def test_what_would_not_be_safe_is_refused(wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of(wrong)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_address_on_the_network_is_served_with_a_certificate() -> None:
    options = options_of(["--http", "[::]:443", "--tls-cert", "/c", "--tls-key", "/k", "--http-names", "A.example, b"])
    assert options.http == HttpPlace("::", 443, ("a.example", "b"), None, Path("/c"), Path("/k"))


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    token = token_in(tmp_path / "made")
    assert len(token) > 40
    assert token_in(tmp_path / "made") == token
    (tmp_path / "link").symlink_to(tmp_path / "made")
    (tmp_path / "open").write_text(token)
    (tmp_path / "short").write_text("short")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "directory").mkdir()
    for name in ("link", "open", "short", "directory"):
        with pytest.raises(ConfigurationInvalid, match=name):
            token_in(tmp_path / name)
