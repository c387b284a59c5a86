"""Serves MCP over Streamable HTTP: stateless, with a bearer token, for several clients at once.

Imported only where it is asked for: uvicorn is not needed over standard input and output.
"""

import hmac
import logging
import os
import secrets
import socket
import stat
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from pydantic_core import to_json
from starlette.applications import Starlette

from reconciler.errors import ConfigurationInvalid
from reconciler.files.atomic import create_whole
from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.http_connection import TimelyConnection
from reconciler.frontends.mcp.server_options import TOKEN_FILE, HttpPlace
from reconciler.frontends.mcp.stdio_messages import LONGEST, Refused, parse_message, render_message
from reconciler.settings import load_settings

MCP_PATH = "/mcp"

_MOST_CONNECTIONS = 200
_PATIENCE_AT_END_S = 5
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def serve(server: ClusterServer, place: HttpPlace) -> None:
    """Serve until a signal arrives. Raises `ConfigurationInvalid` if token, certificate or address cannot be used."""
    token_file = place.token_file or load_settings().state_dir / TOKEN_FILE
    token = token_in(token_file)
    listener = _listen(place)
    port = int(listener.getsockname()[1])
    scheme = "https" if place.certificate else "http"
    config = uvicorn.Config(
        http_app(server, token, _security(place, port, scheme)),
        http=TimelyConnection,
        ws="none",
        loop="asyncio",
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_PATIENCE_AT_END_S,
        ssl_certfile=place.certificate,
        ssl_keyfile=place.key,
    )
    try:
        config.load()
    except OSError as error:  # also of the ssl module
        raise ConfigurationInvalid(f"the certificate or its key cannot be used: {error}") from error
    print(
        f"vmcluster-mcp: serving at {scheme}://{_authority(place.host, port)}{MCP_PATH}, token in {token_file}",
        file=sys.stderr,
        flush=True,
    )
    uvicorn.Server(config).run(sockets=[listener])


def http_app(server: ClusterServer, token: str, security: TransportSecuritySettings) -> App:
    """The application: what has no token is refused before it is read."""
    return _with_token(whole_messages(mcp_protocol(server, security)), token)


def mcp_protocol(server: ClusterServer, security: TransportSecuritySettings) -> Starlette:
    """The protocol itself, which checks no token."""
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=True,
        max_request_body_size=LONGEST,
        transport_security=security,
    )


def _listen(place: HttpPlace) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family, backlog=_MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise ConfigurationInvalid(f"cannot listen at {_authority(place.host, place.port)}: {error}") from error


def _security(place: HttpPlace, port: int, scheme: str) -> TransportSecuritySettings:
    """The hosts and origins that requests may name: a page of another site has another one."""
    own = _LOOPBACK_NAMES if place.on_loopback else (_authority(place.host),)
    hosts = [f"{name}:{port}" for name in (*own, *place.names)]
    hosts += [*own, *place.names] if port == {"http": 80, "https": 443}[scheme] else []
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"{scheme}://{host}" for host in hosts])


def _authority(host: str, port: int | None = None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _with_token(app: App, token: str) -> App:
    expected = f"bearer {token}".encode()

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        said = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        if scope["type"] == "http" and not (len(said) == 1 and hmac.compare_digest(_lower_scheme(said[0]), expected)):
            await _answer(send, 401, b"a bearer token is required\n", (b"www-authenticate", b"Bearer"))
            return
        await app(scope, receive, send)

    return checked


def _lower_scheme(said: bytes) -> bytes:
    scheme, _, rest = said.partition(b" ")
    return scheme.lower() + b" " + rest.strip()


def whole_messages(app: App) -> App:
    """Messages are parsed as over standard input: the same limits, the same answers to what is none."""

    async def parsed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        try:
            body = await _body(receive)
        except ConnectionError:
            return  # half a request is none, even where it could be read
        if body is None:
            await _answer(send, 413, b"a message has at most 16 MiB\n")
            return
        message = parse_message(body.decode(errors="surrogateescape").strip())
        if isinstance(message, Refused):
            said = to_json(message.model_dump(mode="json", by_alias=True))
            await _answer(send, 400, said, (b"content-type", b"application/json"))
            return
        content = render_message(message).encode()
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(content)).encode()))
        await app({**scope, "headers": headers}, _once(content, receive), send)

    return parsed


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if it is longer than a message may be. Raises `ConnectionError` if it is cut off."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > LONGEST:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _once(content: bytes, receive: Receive) -> Receive:
    """Receives the content, and after it what comes from the connection."""
    rest: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replay() -> Message:
        return rest.pop() if rest else await receive()

    return replay


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    own = [(b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


_TOKEN_BYTES = 32
_LEAST_TOKEN_LENGTH = 16
_MOST_TOKEN_BYTES = 4096


def token_in(path: Path) -> str:
    """The token in a file, which is made with a new one if it is missing.

    Raises `ConfigurationInvalid` for a file that others may read or that holds no token.
    """
    try:
        create_whole(path, f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n".encode())
        content = _read_private(path)
    except OSError as error:
        raise ConfigurationInvalid(f"the token file {path} cannot be used: {error.strerror or error}") from error
    token = content.decode(errors="replace").strip()
    if len(token) < _LEAST_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationInvalid(
            f"the token file {path} holds no token of at least {_LEAST_TOKEN_LENGTH} characters",
            hint="remove it, and a new one is made",
        )
    return token


def _read_private(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in {0, os.geteuid()}:
            raise ConfigurationInvalid(
                f"the token file {path} can be read by others, or is not your own file", hint=f"chmod 600 {path}"
            )
        return file.read(_MOST_TOKEN_BYTES)
