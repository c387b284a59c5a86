"""Images between two hosts, over real SSH on loopback: whole, from where it stopped, and nothing but images."""

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import asyncssh
import pytest

from reconciler.errors import ClusterError, Conflict, OperationFailed
from reconciler.guest.keys import generate_client_key
from reconciler.host.image_transfer import image_service
from reconciler.host.image_transfer.image_download import (
    KEPT_S,
    ImageSource,
    WrongContent,
    arriving_path,
    download,
    sweep_arriving,
)
from reconciler.host.image_transfer.image_request import ImageRequest, parse_request, parse_size_line, render_size_line
from reconciler.host.image_transfer.image_service import USER, ImageService

CONTENT = Random(1).randbytes(3 * 1024 * 1024 + 17)
LOOPBACK = "127.0.0.1"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


DIGEST = digest_of(CONTENT)


def content(path: Path) -> bytes:
    return path.read_bytes()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def beside(path: Path) -> list[str]:
    return [of.name for of in path.parent.iterdir()]


def write(path: Path, what: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(what)


class Giver:
    """A host that gives one file under one digest."""

    def __init__(self, directory: Path, name: str, content: bytes, allowed: list[str]) -> None:
        self.name = name
        self.file = directory / f"{name}.qcow2"
        self.file.write_bytes(content)
        self.asked: list[str] = []
        key = directory / f"{name}.key"
        self.public = generate_client_key(key)

        async def keys() -> list[str]:
            return allowed

        self.service = ImageService(key, keys, self._find)
        self.port = 0

    async def source(self) -> ImageSource:
        if not self.port:
            self.port = await self.service.open(LOOPBACK, 0)
        return ImageSource(self.name, LOOPBACK, self.port, self.public, len(content(self.file)))

    def _find(self, digest: str) -> Path | None:
        self.asked.append(digest)
        return self.file if digest == DIGEST else None


class Killed(BaseException):
    """Ends a fetch where the process would have ended."""


Give = Callable[[str, bytes], Giver]


@pytest.fixture
async def give(tmp_path: Path, own_key: Path) -> AsyncIterator[Give]:
    allowed = [own_key.with_suffix(".pub").read_text()]
    async with AsyncExitStack() as stack:

        def giver(name: str, content: bytes) -> Giver:
            made = Giver(tmp_path, name, content, allowed)
            stack.push_async_callback(made.service.close)
            return made

        yield giver


@pytest.fixture
def own_key(tmp_path: Path) -> Path:
    generate_client_key(tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "images" / "base.qcow2"


async def test_an_image_arrives_whole_under_its_name_with_progress(give: Give, own_key: Path, place: Path) -> None:
    told: list[int] = []
    await download(place, DIGEST, await give("one", CONTENT).source(), own_key, told.append)
    assert content(place) == CONTENT
    assert mode(place) == 0o644
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert beside(place) == [place.name]


async def test_no_image_is_put_where_other_users_could_lead_it_elsewhere(
    give: Give, own_key: Path, place: Path
) -> None:
    place.parent.mkdir()
    place.parent.chmod(0o777)
    source = await give("one", CONTENT).source()
    with pytest.raises(Conflict, match="so its contents could be replaced"):
        await download(place, DIGEST, source, own_key, lambda _: None)
    place.parent.chmod(0o755)
    (place.parent / "link").symlink_to(place.parent)
    os.lchown(place.parent / "link", 65534, 65534) if os.geteuid() == 0 else place.parent.chmod(0o777)
    with pytest.raises(Conflict, match="so its contents could be replaced"):
        await download(place.parent / "link" / place.name, DIGEST, source, own_key, lambda _: None)
    assert beside(place) == ["link"]


async def test_what_was_there_when_the_process_ended_is_not_sent_again(give: Give, own_key: Path, place: Path) -> None:
    giver = give("one", CONTENT)
    source = await giver.source()

    def killed(_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await download(place, DIGEST, source, own_key, killed)
    had = len(content(arriving_path(place, DIGEST)))
    assert 0 < had < len(CONTENT)
    write(giver.file, b"\0" * had + CONTENT[had:])  # what it would send again would be seen
    await download(place, DIGEST, source, own_key, lambda _: None)
    assert content(place) == CONTENT


async def test_other_content_is_refused_and_leaves_nothing(give: Give, own_key: Path, place: Path) -> None:
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(WrongContent, match=f"host one sent as {DIGEST} is {digest_of(wrong)}"):
        await download(place, DIGEST, await give("one", wrong).source(), own_key, lambda _: None)
    assert beside(place) == []
    source = await give("two", CONTENT).source()
    await download(place, DIGEST, source, own_key, lambda _: None)
    assert content(place) == CONTENT


async def test_another_host_goes_on_where_one_was_lost(give: Give, own_key: Path, place: Path) -> None:
    lost, other = give("lost", CONTENT), give("other", CONTENT)
    source = await lost.source()
    ending: list[asyncio.Task[None]] = []

    def lose_it(_: int) -> None:
        if not ending:
            ending.append(asyncio.create_task(lost.service.close()))

    with pytest.raises(OperationFailed, match="host lost"):
        await download(place, DIGEST, source, own_key, lose_it)
    had = len(content(arriving_path(place, DIGEST)))
    assert 0 < had < len(CONTENT)
    told: list[int] = []
    await download(place, DIGEST, await other.source(), own_key, told.append)
    assert told[0] > had
    assert content(place) == CONTENT


async def test_a_file_that_is_in_the_place_stays(give: Give, own_key: Path, place: Path) -> None:
    write(place, b"mine")
    await download(place, DIGEST, await give("one", CONTENT).source(), own_key, lambda _: None)
    assert content(place) == b"mine"


async def test_two_processes_do_not_fetch_the_same_image(give: Give, own_key: Path, place: Path) -> None:
    source = await give("one", CONTENT).source()
    both = (download(place, DIGEST, source, own_key, lambda _: None) for _ in range(2))
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert {type(first), type(second)} == {type(None), Conflict}
    assert content(place) == CONTENT


async def test_what_nobody_goes_on_fetching_is_swept_after_a_day_and_nothing_else(place: Path) -> None:
    stale, fetched, recent = (arriving_path(place, f"sha256:{name}") for name in ("a1", "b2", "c3"))
    image = place.with_name("base.qcow2")
    for path in (stale, fetched, recent, image):
        write(path, b"some")
        os.utime(path, (time.time() - KEPT_S - 60,) * 2)
    os.utime(recent)
    with fetched.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep_arriving(place.parent) == [stale]
    assert not stale.exists()
    assert all(path.exists() for path in (fetched, recent, image))
    assert sweep_arriving(place.parent / "not-there") == []


async def test_a_host_that_lacks_the_image_or_is_another_one_is_named(
    give: Give, own_key: Path, place: Path, tmp_path: Path
) -> None:
    source = await give("one", CONTENT).source()
    with pytest.raises(OperationFailed, match="host one cannot send sha256"):
        await download(place, digest_of(b"another"), source, own_key, lambda _: None)
    stranger = ImageSource("one", LOOPBACK, source.port, generate_client_key(tmp_path / "stranger"), len(CONTENT))
    with pytest.raises(OperationFailed, match="host one cannot send"):
        await download(place, DIGEST, stranger, own_key, lambda _: None)
    assert place.name not in beside(place)


async def test_who_is_no_host_of_the_store_gets_nothing(give: Give, place: Path, tmp_path: Path) -> None:
    giver = give("one", CONTENT)
    generate_client_key(tmp_path / "nobody")
    with pytest.raises(ClusterError, match="host one cannot send"):
        await download(place, DIGEST, await giver.source(), tmp_path / "nobody", lambda _: None)
    assert giver.asked == []


@pytest.mark.parametrize(
    "command", ["", "sh", "cat /etc/shadow", f"{DIGEST}", f"{DIGEST} -1", f"{DIGEST} 0; id", f"{DIGEST}\n 0", "/x 0"]
)
async def test_a_host_can_ask_for_nothing_but_images(give: Give, own_key: Path, command: str) -> None:
    giver = give("one", CONTENT)
    async with await _logged_in(giver, own_key) as connection:
        done = await connection.run(command or None, encoding=None)
        assert (done.exit_status, done.stdout) == (64, b"")
    assert giver.asked == []


async def test_a_host_can_neither_forward_nor_use_files_nor_a_terminal(give: Give, own_key: Path) -> None:
    giver = give("one", CONTENT)
    async with await _logged_in(giver, own_key) as connection:
        with pytest.raises(asyncssh.Error):
            await connection.start_sftp_client()
        with pytest.raises(asyncssh.Error):
            await connection.open_connection(LOOPBACK, giver.port)
        with pytest.raises(asyncssh.Error):
            await connection.create_process("sh", term_type="xterm")
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.start_server(lambda *_: None, "", 0)


async def _logged_in(giver: Giver, own_key: Path) -> asyncssh.SSHClientConnection:
    source = await giver.source()
    return await asyncssh.connect(
        LOOPBACK,
        source.port,
        username=USER,
        client_keys=[str(own_key)],
        known_hosts=([asyncssh.import_public_key(source.host_key)], [], []),
        config=None,
        agent_path=None,
    )


async def test_too_many_connections_are_not_even_listened_to(
    give: Give, own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_service, "_CONNECTIONS", 1)
    giver = give("one", CONTENT)
    async with await _logged_in(giver, own_key):
        with pytest.raises((asyncssh.Error, OSError)):
            await _logged_in(giver, own_key)
    async with await _logged_in(giver, own_key):
        """There is room again."""


def test_requests_and_headers_are_read_as_they_are_written() -> None:
    request = ImageRequest(DIGEST, 12)
    assert parse_request(str(request)) == request
    assert parse_size_line(render_size_line(77)) == 77
    for line in (b"", b"77", b"-1\n", b"07\n", b"x\n"):
        with pytest.raises(ValueError, match="the answer begins with"):
            parse_size_line(line)
