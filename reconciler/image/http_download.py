"""Downloads files over HTTP: goes on after what has arrived, within limits of size, time, silence and redirects.

A server is asked for the rest of a file with `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14.2), so that it
sends all of it again if the file has changed; a server that knows no ranges does so too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx2

import reconciler
from reconciler.errors import ClusterError, ImageNotFound, OperationFailed, OperationTimeout
from reconciler.files.space import SpaceGuard, require_space
from reconciler.image.arriving_file import ArrivingFile, FileOrigin
from reconciler.image.web_address import require_safe, shown_address

T = TypeVar("T")

Told = Callable[[int, int | None], None]
"""Called with how many bytes there are, and how many there will be, if that is known."""

_TEXT_MOST_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_OK, _PARTIAL, _NOT_FOUND, _GONE, _NOT_SATISFIABLE, _TOO_MANY, _SERVER_ERROR = 200, 206, 404, 410, 416, 429, 500


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """How large a file may be, how long it may take, and how patient a download is with a server."""

    most_bytes: int = 32 << 30
    time_s: float = 3600.0
    silence_s: float = 60.0
    redirects: int = 5
    tries: int = 4
    """How often in a row a connection may fail without anything new."""
    pause_s: float = 1.0
    """Before the second of them; doubled each time."""


class _Broken(Exception):
    """A transfer ended too early, or not as it was asked for: another try may do better."""


async def download_file(url: str, file: ArrivingFile, limits: DownloadLimits, told: Told) -> None:
    """Have all of a file; what has arrived of the same version is not fetched again.

    Raises `OperationFailed` or `OperationTimeout`, with what has arrived kept for the next time, `ImageNotFound` if
    there is no such file, and `InvalidArgument` for an address that is not to be used.
    """

    async def go_on(client: httpx2.AsyncClient) -> None:
        await _continue(client, url, file, limits, told)

    try:
        await _tried(url, limits, go_on, lambda: file.have_bytes)
    except ClusterError as error:
        if error.recoverable and file.have_bytes and error.hint is None:
            error.hint = f"run it again to continue after the {amount(file.have_bytes)} that have arrived"
        raise


def amount(size_bytes: int) -> str:
    """How much that is, in the largest unit that it has one of."""
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if size_bytes >> shift:
            return f"{size_bytes >> shift} {unit}"
    return f"{size_bytes} bytes"


async def fetch_text(url: str, limits: DownloadLimits) -> str:
    """A small file of text. Raises as `download` does."""

    async def fetch(client: httpx2.AsyncClient) -> str:
        content = bytearray()
        async with _opened(client, url, {}, limits) as answer:
            _require_status(answer, _OK)
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > _TEXT_MOST_BYTES:
                    raise OperationFailed(f"{shown_address(url)} is no file of checksums: it has more than 1 MiB")
        return content.decode(errors="replace")

    return await _tried(url, limits, fetch, lambda: 0)


async def _tried(
    url: str,
    limits: DownloadLimits,
    work: Callable[[httpx2.AsyncClient], Awaitable[T]],
    have_bytes: Callable[[], int],
) -> T:
    """The result of `work`, which is tried again after a failure of the network, as long as there is progress."""
    most, failures = have_bytes(), 0
    headers = {"User-Agent": f"vmcluster/{reconciler.__version__}", "Accept-Encoding": "identity"}
    try:
        async with (
            asyncio.timeout(limits.time_s),
            httpx2.AsyncClient(timeout=limits.silence_s, headers=headers) as client,
        ):
            while True:
                try:
                    return await work(client)
                except (httpx2.TransportError, _Broken) as error:
                    failures = 0 if have_bytes() > most else failures + 1
                    most = max(most, have_bytes())
                    if failures >= limits.tries:
                        raise OperationFailed(
                            f"{shown_address(url)} cannot be downloaded: {_why(error, limits)}"
                        ) from error
                await asyncio.sleep(limits.pause_s * 2**failures)
    except TimeoutError:
        raise OperationTimeout(f"{shown_address(url)} has not arrived within {limits.time_s:g} s") from None
    except httpx2.InvalidURL as error:
        raise OperationFailed(f"{shown_address(url)} leads to an address that is none: {error}") from error


async def _continue(
    client: httpx2.AsyncClient, url: str, file: ArrivingFile, limits: DownloadLimits, told: Told
) -> None:
    """One request for what is missing."""
    known, have = file.origin(url), file.have_bytes
    if known is not None and known.size_bytes == have:
        return
    headers = {}
    if known is not None and known.validator is not None and have:
        headers = {"Range": f"bytes={have}-", "If-Range": known.validator}
    async with _opened(client, url, headers, limits) as answer:
        size = await asyncio.to_thread(_accept, answer, file, known or FileOrigin(url))
        _require_room(url, file, size, limits)
        await _receive(answer, url, file, size, limits, told)
    if size is not None and file.have_bytes < size:
        raise _Broken(f"the connection ended after {file.have_bytes} of {size} bytes")


def _accept(answer: httpx2.Response, file: ArrivingFile, known: FileOrigin) -> int | None:
    """Prepare the file for what an answer brings: all of it, or the rest. Returns its size, if that is known."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise OperationFailed(f"{shown_address(known.url)} is sent compressed, which was not asked for")
    if answer.status_code == _PARTIAL and _is_the_rest(answer, file, known):
        file.joined = True
        return known.size_bytes
    if answer.status_code in {_PARTIAL, _NOT_SATISFIABLE}:
        file.begin()
        raise _Broken("the server sent another part of the file than it was asked for")
    _require_status(answer, _OK)
    length = answer.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else None
    file.begin(FileOrigin(known.url, _validator(answer), size))
    return size


def _is_the_rest(answer: httpx2.Response, file: ArrivingFile, known: FileOrigin) -> bool:
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    same = _validator(answer) in {None, known.validator}
    whole = found is not None and found[2] in {"*", str(known.size_bytes)}
    return found is not None and whole and same and int(found[1]) == file.have_bytes > 0


def _validator(answer: httpx2.Response) -> str | None:
    """What names this version of the file: a strong ETag, or the time at which it was changed."""
    etag: str = answer.headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return answer.headers.get("last-modified")


def _require_room(url: str, file: ArrivingFile, size: int | None, limits: DownloadLimits) -> None:
    if size is not None:
        _require_size(url, size, limits)
        require_space(file.path.parent, size - file.have_bytes)


def _require_size(url: str, size: int, limits: DownloadLimits) -> None:
    if size > limits.most_bytes:
        raise OperationFailed(
            f"{shown_address(url)} is larger than {limits.most_bytes / 2**30:.3g} GiB",
            hint="raise --max-gb if that is right",
        )


async def _receive(
    answer: httpx2.Response, url: str, file: ArrivingFile, size: int | None, limits: DownloadLimits, told: Told
) -> None:
    guard, have = SpaceGuard(file.path.parent), file.have_bytes
    async for chunk in answer.aiter_raw():
        _require_size(url, have + len(chunk), limits)
        if size is not None and have + len(chunk) > size:
            raise _Broken(f"the server sent more than the {size} bytes that it announced")
        await asyncio.to_thread(file.append, chunk)
        have += len(chunk)
        guard.passed(have)
        told(have, size)


@asynccontextmanager
async def _opened(
    client: httpx2.AsyncClient, url: str, headers: dict[str, str], limits: DownloadLimits
) -> AsyncIterator[httpx2.Response]:
    """The answer to a request, after redirects to addresses that are safe too."""
    here, came_from = url, None
    for _ in range(limits.redirects + 1):
        require_safe(here, came_from)
        async with client.stream("GET", here, headers=headers) as answer:
            if not answer.has_redirect_location:
                yield answer
                return
            here, came_from = str(answer.url.join(answer.headers["location"])), here
    raise OperationFailed(f"{shown_address(url)} redirects more than {limits.redirects} times")


def _require_status(answer: httpx2.Response, status: int) -> None:
    code = answer.status_code
    if code == status:
        return
    said = f"{shown_address(str(answer.url))} answers {code} {answer.reason_phrase}".rstrip()
    if code in {_NOT_FOUND, _GONE}:
        raise ImageNotFound(said, hint="check the address; publishers remove old images")
    if code == _TOO_MANY or code >= _SERVER_ERROR:
        raise _Broken(said)
    raise OperationFailed(said)


def _why(error: Exception, limits: DownloadLimits) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"no answer for {limits.silence_s:g} s"
    return str(error) or type(error).__name__
