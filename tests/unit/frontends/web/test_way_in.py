"""Who gets the token of a server: that server and nobody who has taken its place."""

import asyncio
import fcntl
import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from reconciler.frontends.mcp.server_options import TOKEN_FILE
from reconciler.frontends.web.way_in import DOOR_FILE, entry_to_running
from tests.unit.frontends.web.shown_lab import ShownLab


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Somebody else's server at an address that was a page's, which takes what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def left_over(tmp_path: Path, stranger: socket.socket) -> Path:
    """The note of a server that was killed."""
    note = tmp_path / DOOR_FILE
    note.write_text(json.dumps({"url": f"http://127.0.0.1:{stranger.getsockname()[1]}/"}))
    (tmp_path / TOKEN_FILE).write_text("t" * 43)
    return note


def heard_by(server: socket.socket) -> bytes:
    """What a server was told by those that called it and went."""
    heard = b""
    while True:
        try:
            caller = server.accept()[0]
        except BlockingIOError:
            return heard
        with caller:
            heard += caller.recv(4096)


def test_nobody_gets_the_token_at_the_address_of_a_server_that_was_killed(
    left_over: Path, stranger: socket.socket
) -> None:
    assert entry_to_running(left_over.parent, "") is None
    assert heard_by(stranger) == b""


def test_another_command_that_looks_makes_no_server_of_a_note(left_over: Path, stranger: socket.socket) -> None:
    with left_over.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert entry_to_running(left_over.parent, "") is None
    assert heard_by(stranger) == b""


async def test_a_new_server_replaces_the_note_of_one_that_was_killed(lab: ShownLab) -> None:
    state_dir = lab.runtime.settings.state_dir
    (state_dir / DOOR_FILE).write_text(json.dumps({"url": "http://127.0.0.1:1/"}))
    async with lab.door() as door:
        found = await asyncio.to_thread(entry_to_running, state_dir, "")
        assert found is not None
        assert found.startswith(door.url)


async def test_a_server_that_ends_leaves_the_note_of_a_later_one(lab: ShownLab) -> None:
    async with AsyncExitStack() as earlier:
        await earlier.enter_async_context(lab.door())
        async with lab.door() as later:
            await earlier.aclose()
            found = await asyncio.to_thread(entry_to_running, lab.runtime.settings.state_dir, "")
            assert found is not None
            assert found.startswith(later.url)


async def test_a_page_is_found_at_the_address_that_it_has_and_not_by_a_name_that_may_have_others(lab: ShownLab) -> None:
    async with lab.door(host="localhost") as door:
        assert door.url.startswith("http://127.0.0.1:")
