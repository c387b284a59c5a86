"""Fetches a disk image from another host: continues an interrupted attempt, and keeps only what it asked for.

What has arrived is in a file beside the image's place, under the image's digest. It takes its place when all of it has
that digest, and never takes the place of another file.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from reconciler.errors import Conflict, OperationFailed
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.exposure import make_unexposed
from reconciler.files.locks import try_lock
from reconciler.files.space import SpaceGuard, require_space
from reconciler.guest.guest_answers import PARSE_ERRORS
from reconciler.host.image_transfer.image_request import ImageRequest, parse_size_line
from reconciler.host.image_transfer.image_service import USER

_CONNECT_S = 10.0
_SILENCE_S = 60.0
_CHUNK_BYTES = 256 * 1024
_MODE = 0o644
_ARRIVING = ".vmcluster-{}.partial"
KEPT_S = 24 * 3600.0
"""For so long after its last byte what has arrived of an image is kept for the rest."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A host that has an image: where it serves it, the key that it is known by, and how large it says the image is."""

    host: str
    address: str
    port: int
    host_key: str
    size_bytes: int


class WrongContent(OperationFailed):
    """What a host sent as an image was something else."""


def arriving_path(path: Path, digest: str) -> Path:
    """Where an image is until it is whole."""
    return path.with_name(_ARRIVING.format(digest.removeprefix("sha256:")))


async def download(path: Path, digest: str, source: ImageSource, key_path: Path, got: Callable[[int], None]) -> None:
    """Have the image at `path`, which was not there; `got` is told how many bytes there are.

    Raises `OperationFailed` if another attempt, or another host, may do better: what has arrived is kept for that.
    Raises `WrongContent` if it is not the image, and `Conflict` if another process is fetching it or other users can
    change its directory.
    """
    partial = arriving_path(path, digest)
    with reporting_os_errors(partial.parent):
        await asyncio.to_thread(make_unexposed, partial.parent, mode=0o755)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor) or not os.fstat(descriptor).st_nlink:  # fetched or swept elsewhere
            raise Conflict(f"another process is fetching {path}", hint="wait for it")
        try:
            async with asyncio.timeout(None) as limit:
                await _receive(descriptor, partial, digest, source, key_path, got, limit)
        except TimeoutError:
            raise OperationFailed(
                f"host {source.host} has stopped sending {path}", hint="check the network between the hosts"
            ) from None
        except (OSError, asyncssh.Error, *PARSE_ERRORS) as error:
            raise OperationFailed(f"host {source.host} cannot send {path}: {error}") from error
        await asyncio.to_thread(_accept, descriptor, partial, path, digest, source.host)
    finally:
        os.close(descriptor)


def sweep_arriving(directory: Path) -> list[Path]:
    """Remove what has arrived of images and was not gone on with for `KEPT_S`; returns what was removed. Blocking."""
    swept = []
    for partial in directory.glob(_ARRIVING.format("*")):
        descriptor = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if time.time() - os.fstat(descriptor).st_mtime > KEPT_S and try_lock(descriptor):
                partial.unlink()
                swept.append(partial)
        finally:
            os.close(descriptor)
    return swept


async def _receive(
    descriptor: int,
    partial: Path,
    digest: str,
    source: ImageSource,
    key_path: Path,
    got: Callable[[int], None],
    limit: asyncio.Timeout,
) -> None:
    clock = asyncio.get_running_loop().time
    limit.reschedule(clock() + _CONNECT_S)
    have = os.lseek(descriptor, 0, os.SEEK_END)
    if have > source.size_bytes:
        os.ftruncate(descriptor, have := 0)
    require_space(partial.parent, source.size_bytes - have)
    guard = SpaceGuard(partial.parent)
    async with await _connect(source, key_path) as connection:
        asked = str(ImageRequest(digest, have))
        async with connection.create_process(asked, encoding=None, stderr=asyncssh.DEVNULL) as process:
            limit.reschedule(clock() + _SILENCE_S)
            header = await process.stdout.readline()
            if not header:
                raise OperationFailed(f"host {source.host} cannot send {digest} now")
            size = parse_size_line(header)
            if size != source.size_bytes:
                raise WrongContent(f"host {source.host} has {size} bytes of {digest}, and reported {source.size_bytes}")
            while have < size and (chunk := await process.stdout.read(min(_CHUNK_BYTES, size - have))):
                limit.reschedule(clock() + _SILENCE_S)
                await asyncio.to_thread(os.pwrite, descriptor, chunk, have)
                have += len(chunk)
                guard.passed(have)
                got(have)
    if have < size:
        raise OperationFailed(f"host {source.host} stopped after {have} of {size} bytes of {digest}")


async def _connect(source: ImageSource, key_path: Path) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        source.address,
        source.port,
        config=None,
        username=USER,
        client_keys=[str(key_path)],
        known_hosts=([asyncssh.import_public_key(source.host_key)], [], []),
        agent_path=None,
        preferred_auth=["publickey"],
        gss_host=None,
        compression_algs=["none"],
        keepalive_interval=_CONNECT_S,
    )


def _accept(descriptor: int, partial: Path, path: Path, digest: str, host: str) -> None:
    """Give the image its name once it is what was asked for; otherwise begin again next time."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if found != digest:
        partial.unlink(missing_ok=True)
        raise WrongContent(f"what host {host} sent as {digest} is {found}", hint="check the image there")
    os.fchmod(descriptor, _MODE)
    os.fsync(descriptor)
    with suppress(FileExistsError):  # somebody has put it there; its content is checked where it is used
        os.link(partial, path)
    partial.unlink()
