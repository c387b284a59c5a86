"""HTTP connections of clients that do not send what they have begun: none of them stays, token or not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from reconciler.frontends.mcp import http_connection
from reconciler.frontends.mcp.http_connection import TimelyConnection
from reconciler.frontends.mcp.http_server import http_app
from tests.waiting import PATIENCE_S

REQUEST_S = 0.3
HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token\r\n"


class NoServer:
    """Has an application that counts what reaches it and takes longer to answer than a request may take to arrive."""

    def __init__(self) -> None:
        self.calls = 0

    def streamable_http_app(self, **_: object) -> Any:
        async def app(_scope: Any, receive: Any, send: Any) -> None:
            self.calls += 1
            await receive()
            await asyncio.sleep(2 * REQUEST_S)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        return app


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> NoServer:
    monkeypatch.setattr(http_connection, "REQUEST_S", REQUEST_S)
    return NoServer()


@pytest.fixture
async def port(no_server: NoServer) -> AsyncIterator[int]:
    app = http_app(no_server, "token", None)  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=TimelyConnection, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def said(port: int, begin: bytes, drip: bytes) -> bytes:
    """What the server answers until it closes a connection on which bytes drip."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)

    async def go_on() -> None:
        while drip:
            writer.write(drip)
            await asyncio.sleep(REQUEST_S / 10)

    dripping = asyncio.create_task(go_on())
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        return b""
    finally:
        dripping.cancel()
        writer.close()


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b""),
        (b"POST", b""),
        (b"GET /mcp HTTP/1.1\r\nX: ", b"x"),
        (HEAD + b"Content-Length: 100\r\n\r\n{", b""),
        (HEAD + b"Content-Length: 1000000\r\n\r\n{", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n \r\n"),
    ],
    ids=["nothing", "half a line", "a header without end", "half a body", "a slow body", "chunks without end"],
)
async def test_a_request_that_does_not_arrive_in_time_loses_its_connection(
    port: int, no_server: NoServer, begin: bytes, drip: bytes
) -> None:
    assert await said(port, begin, drip) == b""
    assert no_server.calls == 0


async def test_half_a_request_is_not_carried_out_even_if_it_makes_sense(port: int, no_server: NoServer) -> None:
    whole = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert await said(port, HEAD + b"Content-Length: %d\r\n\r\n" % (len(whole) + 1) + whole, b"") == b""
    assert no_server.calls == 0


async def test_an_answer_may_take_longer_than_a_request(port: int, no_server: NoServer) -> None:
    whole = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    request = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole
    assert (await said(port, request, b"")).startswith(b"HTTP/1.1 200")
    assert no_server.calls == 1
