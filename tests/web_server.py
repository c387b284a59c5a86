"""A real HTTP server on the loopback interface that serves files well, or as badly as a test says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mmap import mmap

_PIECE_BYTES = 16 * 1024


@dataclass
class Served:
    """A file on the server, and how badly it is served."""

    content: bytes | mmap
    changes_to: bytes | None = None
    """What the content is after the first answer, under the same ETag."""
    etag: str | None = '"1"'
    modified: bool = False
    """Whether it says when the file was last changed."""
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    """After how many bytes of the body the next connections end."""
    announced: int | None = None
    """The length that it says the whole file has, if it lies."""
    chunked: bool = False
    shifted: int = 0
    """How far beside what was asked for an answer with a range begins."""
    range: str | None = None
    """What an answer with a range says that it is, if it lies."""
    range_etag: str | None = None
    """What an answer with a range says of the version, if that differs."""
    status: list[int] = field(default_factory=list)
    """What the next requests are answered with, instead of the file."""
    redirect: str | None = None
    hangs_after: int | None = None
    """After how many bytes nothing more comes, until the server ends."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebServer:
    """What is served, by path, and what was asked for: the path and the range of each request."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, content: bytes | mmap, **how: object) -> Served:
        """Serve a file from now on."""
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return self.files[path]


@contextmanager
def running_web_server() -> Iterator[WebServer]:
    """A server that ends with the block."""
    with _QuietServer(("127.0.0.1", 0), _Handler) as http:
        server = WebServer(f"http://127.0.0.1:{http.server_port}")
        http.told = server  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            http.shutdown()
            thread.join()


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client may leave at any time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told: WebServer = self.server.told  # type: ignore[attr-defined]
        told.asked.append((self.path, self.headers.get("Range")))
        file = told.files.get(self.path.partition("?")[0])
        if file is None:
            return self._nothing(404)
        if file.status:
            return self._nothing(file.status.pop(0))
        if file.redirect is not None:
            return self._nothing(302, Location=file.redirect)
        start = self._start(file)
        if start is not None and start >= len(file.content):
            return self._nothing(416, **{"Content-Range": f"bytes */{len(file.content)}"})
        return self._send(file, start, told.ending)

    def _start(self, file: Served) -> int | None:
        """Where the answer begins, if it is an answer with a range."""
        asked, version = self.headers.get("Range"), self.headers.get("If-Range")
        same = version in {None, file.etag, formatdate(0, usegmt=True) if file.modified else None}
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and file.ranges and same else None

    def _send(self, file: Served, start: int | None, ending: threading.Event) -> None:
        body = memoryview(file.content)[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            whole = len(file.content)
            self.send_header("Content-Range", file.range or f"bytes {start + file.shifted}-{whole - 1}/{whole}")
        etag = file.etag if start is None or file.range_etag is None else file.range_etag
        headers = {"ETag": etag, "Last-Modified": formatdate(0, usegmt=True) if file.modified else None, **file.headers}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            announced = len(file.content) if file.announced is None else file.announced
            self.send_header("Content-Length", str(announced - (start or 0)))
        self.end_headers()
        file.content, file.changes_to = file.changes_to or file.content, None
        most = file.breaks_after.pop(0) if file.breaks_after else file.hangs_after
        self._write(body if most is None else body[:most], chunked=file.chunked)
        if file.hangs_after is not None and most == file.hangs_after:
            ending.wait()
        if most is not None or file.announced is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif file.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, body: memoryview, *, chunked: bool) -> None:
        for at in range(0, len(body), _PIECE_BYTES):
            piece = body[at : at + _PIECE_BYTES]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), bytes(piece)) if chunked else piece)

    def _nothing(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is that of the base class
        pass
