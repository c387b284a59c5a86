"""Serves this host's disk images to the other hosts of its store, over SSH: by digest, to read, and nothing else.

There is no shell, no file system and no forwarding behind it: a request is parsed, or refused. Both sides know each
other by the keys that hosts report to the store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import asyncssh
import structlog

from reconciler.errors import ClusterError, OperationFailed
from reconciler.files.plain import open_plain
from reconciler.host.image_transfer.image_request import parse_request, render_size_line

log = structlog.get_logger(__name__)

USER = "images"
_AT_ONCE = 4
_CONNECTIONS = 64
_CHUNK_BYTES = 256 * 1024
_LOGIN_S = 10
_KEEPALIVE_S = 15
_NOT_HERE, _REFUSED, _BUSY = 66, 64, 75
"""Exit codes, of sysexits.h."""

HostKeys = Callable[[], Awaitable[Iterable[str]]]
"""The public keys of the hosts that may read, as of now."""
FindImage = Callable[[str], Path | None]
"""The file with a digest; blocking."""


class ImageService:
    """Answers requests until it is closed."""

    def __init__(self, key_path: Path, allowed: HostKeys, find: FindImage) -> None:
        self._key_path = key_path
        self._allowed = allowed
        self._find = find
        self._busy = 0
        self._open: set[asyncssh.SSHServerConnection] = set()
        self._server: asyncssh.SSHAcceptor | None = None

    async def open(self, address: str, port: int) -> int:
        """Listen on an address; returns the port. Raises `OperationFailed`."""
        try:
            self._server = await asyncssh.create_server(
                lambda: _Gate(self._allowed, self._open),
                address,
                port,
                config=None,
                server_host_keys=[str(self._key_path)],
                process_factory=self._answer,
                encoding=None,
                allow_pty=False,
                agent_forwarding=False,
                x11_forwarding=False,
                allow_scp=False,
                sftp_factory=None,
                gss_host=None,
                compression_algs=["none"],
                login_timeout=_LOGIN_S,
                keepalive_interval=_KEEPALIVE_S,
            )
        except OSError as error:
            raise OperationFailed(
                f"images cannot be served to other hosts on {address}, port {port}: {error.strerror}",
                hint="set `host_image_port`; 0 serves none",
            ) from error
        return self._server.get_port()

    async def close(self) -> None:
        """Stop, and end what is being read."""
        if self._server is not None:
            self._server.close()
            for connection in [*self._open]:
                connection.abort()
            await self._server.wait_closed()

    async def _answer(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        request = parse_request(process.command)
        if request is None or process.subsystem is not None:
            process.exit(_REFUSED)
            return
        if self._busy >= _AT_ONCE:
            process.exit(_BUSY)
            return
        self._busy += 1
        try:
            path = await asyncio.to_thread(self._find, request.digest)
            if path is None:
                process.exit(_NOT_HERE)
                return
            with await asyncio.to_thread(open_plain, path) as file:
                await _send(process, file, request.offset_bytes)
            process.exit(0)
        except (OSError, asyncssh.Error) as error:
            log.info("image_not_sent", digest=request.digest, cause=str(error))
            with suppress(OSError):
                process.exit(_NOT_HERE)
        finally:
            self._busy -= 1


class _Gate(asyncssh.SSHServer):
    """Lets in the hosts of the store. What asyncssh would let a client do beside requests, it denies by default."""

    def __init__(self, allowed: HostKeys, opened: "set[asyncssh.SSHServerConnection]") -> None:
        self._allowed = allowed
        self._opened = opened
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        if len(self._opened) >= _CONNECTIONS:
            conn.abort()
            return
        self._connection = conn
        self._opened.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._opened.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        try:
            allowed = {tuple(line.split()[:2]) for line in await self._allowed() if line}
        except ClusterError as error:
            log.info("host_not_recognised", cause=str(error))
            return False
        return username == USER and tuple(key.export_public_key().decode().split()[:2]) in allowed


async def _send(process: "asyncssh.SSHServerProcess[bytes]", file: BinaryIO, offset_bytes: int) -> None:
    size = await asyncio.to_thread(file.seek, 0, 2)
    await asyncio.to_thread(file.seek, min(offset_bytes, size))
    process.stdout.write(render_size_line(size))
    while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
        process.stdout.write(chunk)
        await process.stdout.drain()
