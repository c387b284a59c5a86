"""What a hostile node's SSH server may do: it costs that node's caller one clear error, in time and without memory."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from reconciler.errors import ClusterError, SshError, SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.guest.keys import generate_client_key, generate_host_key
from reconciler.guest.pool import SshPool
from reconciler.model.results import ExecResult
from tests.hostile import SEED
from tests.hostile.tally import Tally
from tests.waiting import PATIENCE_S

MIB = 1024 * 1024
LOGIN_S = 1.5
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def closes(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def closes_after_its_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-x\r\n")
    await reader.read(100)


async def a_byte_at_a_time(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"SSH-2.0-" + b"x" * 200:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


def pouring(block: bytes, first: bytes = b"") -> Talk:
    """The same without an end."""

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(block)
            await writer.drain()

    return pour


def saying(line: bytes) -> Talk:
    """A line, then nothing more."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await reader.read(-1)

    return say


def noise(seed: str) -> bytes:
    return random.Random(seed).randbytes(64 * 1024)


TALKS: dict[str, Talk] = {
    "nothing": says_nothing,
    "an end": closes,
    "an end after its version": closes_after_its_version,
    "a byte at a time": a_byte_at_a_time,
    "lines without an end": pouring(b"hello\r\n" * 10_000),
    "one line without an end": pouring(b"x" * 64 * 1024),
    "noise": pouring(noise(SEED)),
    "noise after its version": pouring(noise(SEED), b"SSH-2.0-x\r\n"),
    "a packet of 4 GiB": pouring(b"x" * 64 * 1024, b"SSH-2.0-x\r\n\xff\xff\xff\xff"),
    "packets of nothing": pouring(b"\0\0\0\x0c\x0a\x02" + bytes(10), b"SSH-2.0-x\r\n"),
    "another version": saying(b"SSH-1.5-x\r\n"),
    "a version of bytes": saying(b"SSH-2.0-\xff\xfe\x1b[2J\r\n"),
}


class Node:
    """The keys of a node, and what to call it by."""

    def __init__(self, directory: Path) -> None:
        self.private, self.public = generate_host_key()
        self._key = directory / "client_key"
        generate_client_key(self._key)

    def address(self, port: int, timeout_s: float = LOGIN_S) -> GuestAddress:
        return GuestAddress(
            cluster="hostile",
            node="n1",
            host="127.0.0.1",
            port=port,
            user="root",
            key_path=self._key,
            host_key=self.public,
            connect_timeout_s=timeout_s,
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """A port at which somebody talks to each who comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
async def test_no_beginning_of_a_talk_is_more_than_an_error_in_time(
    pool: SshPool, node: Node, talk: Talk, tally: Tally
) -> None:
    async with talking(talk) as port, asyncio.timeout(PATIENCE_S):
        with tally.fuzzing(1), pytest.raises((SshTimeout, SshError)) as refused:
            await pool.run(node.address(port), "true", timeout_s=LOGIN_S)
    assert refused.value.node == "n1"
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 2000


# What a server does that has let us in.


async def ends_without_a_word(process: Any) -> None:
    process.channel.close()


async def never_ends(process: Any) -> None:
    await asyncio.sleep(PATIENCE_S)


async def cuts_the_line(process: Any) -> None:
    process.channel.get_connection().abort()


async def says_why_it_leaves(process: Any) -> None:
    process.channel.get_connection().disconnect(11, "\x1b[2J\x1b]0;x\x07" * 3000)


async def floods_both_streams(process: Any) -> None:
    for _ in range(96):
        process.stdout.write(b"o" * MIB)
        process.stderr.write(b"e" * MIB)
        await process.stdout.drain()
        await process.stderr.drain()
    process.exit(0)


async def says_its_end_first(process: Any) -> None:
    process.channel.exit(0)
    process.stdout.write(b"late")


async def ends_by_an_odd_signal(process: Any) -> None:
    process.channel.exit_with_signal("\x1b[2J" + "x" * 10_000, True, "m" * 100_000, "\U0001f600")


async def marks_without_an_end(process: Any) -> None:
    """What looks like the marks of the product's own scripts."""
    for _ in range(200):
        process.stdout.write(b"vmcluster-begin:" * 1000 + b"\n")
        process.stderr.write(b"vmcluster-group:0:-1\n" * 1000)
        await process.stdout.drain()
    process.exit(2**32 - 1)


SERVERS: list[Callable[[Any], Awaitable[None]]] = [
    *(ends_without_a_word, never_ends, cuts_the_line, says_why_it_leaves, floods_both_streams),
    *(says_its_end_first, ends_by_an_odd_signal, marks_without_an_end),
]


class TurnsAway(asyncssh.SSHServer):
    """Lets nobody in, with many words."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def begin_auth(self, username: str) -> bool:
        for _ in range(100):
            self.connection.send_auth_banner("\x1b[2J" * 5000)
        self.connection.disconnect(11, "\x1b[2J\x1b]0;x\x07" * 3000)
        return True


class LetIn(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


async def listening(
    node: Node, behave: Callable[[Any], Awaitable[None]], server: type[asyncssh.SSHServer] = LetIn
) -> asyncssh.SSHAcceptor:
    """A node's server, which serves each command so."""
    key = asyncssh.import_private_key(node.private)
    return await asyncssh.listen(
        "127.0.0.1", 0, server_factory=server, server_host_keys=[key], process_factory=behave, encoding=None
    )


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("behave", SERVERS)
async def test_nothing_that_a_server_answers_is_more_than_an_error_or_an_odd_result(
    pool: SshPool, node: Node, behave: Callable[[Any], Awaitable[None]], own: bool, tally: Tally
) -> None:
    server = await listening(node, behave)
    answer: ExecResult | ClusterError
    try:
        with tally.fuzzing(1):
            async with asyncio.timeout(PATIENCE_S):
                try:
                    answer = await pool.run(
                        node.address(server.get_port(), PATIENCE_S), "true", timeout_s=4 * LOGIN_S, own=own
                    )
                except ClusterError as error:
                    answer = error
    finally:
        server.close()
    if isinstance(answer, ClusterError):
        assert answer.node == "n1"
        assert "\x1b" not in str(answer)
        assert len(str(answer)) < 2000
    else:
        assert len(answer.stdout) + len(answer.stderr) <= 4 * MIB


async def test_answers_that_come_slowly_forever_end_when_the_callers_time_does(pool: SshPool, node: Node) -> None:
    async def dribble(process: Any) -> None:
        while True:
            process.stdout.write(b".")
            await asyncio.sleep(0.05)

    server = await listening(node, dribble)
    try:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(SshTimeout, match="timed out"):
                await pool.run(node.address(server.get_port(), PATIENCE_S), "true", timeout_s=LOGIN_S)
    finally:
        server.close()


async def test_what_a_server_says_that_turns_us_away_is_shown_in_few_plain_words(pool: SshPool, node: Node) -> None:
    server = await listening(node, never_ends, TurnsAway)
    try:
        with pytest.raises((SshTimeout, SshError)) as refused:
            await pool.run(node.address(server.get_port()), "true", timeout_s=LOGIN_S)
    finally:
        server.close()
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 2000
