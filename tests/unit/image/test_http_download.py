"""Downloads from a real server that breaks off, lies, hangs, redirects and changes its mind."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import Conflict, ImageNotFound, InvalidArgument, OperationFailed, OperationTimeout
from reconciler.files import space
from reconciler.image.arriving_file import FileOrigin, arriving
from reconciler.image.http_download import DownloadLimits, amount, download_file, fetch_text
from tests.web_server import Served, WebServer, running_web_server

CONTENT = bytes(range(256)) * 1024
HALF = len(CONTENT) // 2
LIMITS = DownloadLimits(pause_s=0)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running_web_server() as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "disk.part"


def arrived(part: Path) -> bytes:
    return part.read_bytes() if part.exists() else b""


async def fetched(server: WebServer, part: Path, limits: DownloadLimits = LIMITS) -> bytes:
    """What a download leaves, and what it told of its progress must fit that."""
    told: list[tuple[int, int | None]] = []
    with arriving(part) as file:
        await download_file(f"{server.url}/disk", file, limits, lambda have, size: told.append((have, size)))
    content = arrived(part)
    assert not told or told[-1][0] == len(content)
    return content


@pytest.mark.parametrize("how", [{}, {"chunked": True}, {"etag": None}, {"etag": None, "modified": True}])
async def test_a_file_arrives_whole(server: WebServer, part: Path, how: dict[str, object]) -> None:
    server.serve("/disk", CONTENT, **how)
    assert await fetched(server, part) == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", [{}, {"etag": None, "modified": True}])
async def test_a_broken_connection_is_resumed_where_it_broke(
    server: WebServer, part: Path, how: dict[str, object]
) -> None:
    server.serve("/disk", CONTENT, breaks_after=[1000, 0, 5000], **how)
    assert await fetched(server, part) == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=1000-", "bytes=6000-"]


async def test_the_next_process_goes_on_where_the_last_one_ended(server: WebServer, part: Path) -> None:
    file = server.serve("/disk", CONTENT, breaks_after=[HALF, 0, 0, 0, 0])
    with pytest.raises(OperationFailed, match="cannot be downloaded") as caught:
        await fetched(server, part)
    assert caught.value.hint == f"run it again to continue after the {amount(HALF)} that have arrived"
    assert arrived(part) == CONTENT[:HALF]
    server.asked.clear()
    file.breaks_after.clear()
    assert await fetched(server, part) == CONTENT
    assert server.asked == [("/disk", f"bytes={HALF}-")]


async def test_what_is_whole_is_not_asked_for_again(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT)
    await fetched(server, part)
    server.asked.clear()
    assert await fetched(server, part) == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": None}, {"etag": 'W/"1"'}])
async def test_a_server_without_ranges_or_versions_is_asked_for_all_of_it_again(
    server: WebServer, part: Path, how: dict[str, object]
) -> None:
    server.serve("/disk", CONTENT, breaks_after=[HALF], **how)
    assert await fetched(server, part) == CONTENT


async def test_a_server_that_always_breaks_off_at_the_same_place_is_given_up(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, ranges=False, breaks_after=[HALF] * 100)
    with pytest.raises(OperationFailed, match="cannot be downloaded"):
        await fetched(server, part)
    assert len(server.asked) == 1 + LIMITS.tries


async def test_a_file_that_changed_between_two_tries_is_fetched_from_its_beginning(
    server: WebServer, part: Path
) -> None:
    server.serve("/disk", CONTENT, breaks_after=[HALF, 0, 0, 0, 0])
    with pytest.raises(OperationFailed):
        await fetched(server, part)
    server.serve("/disk", CONTENT[::-1], etag='"2"')
    assert await fetched(server, part) == CONTENT[::-1]


@pytest.mark.parametrize("how", [{"shifted": 7}, {"range": f"bytes {'1' * 5000}-2/*"}, {"range_etag": '"2"'}])
async def test_a_part_that_is_not_the_one_asked_for_is_not_joined(
    server: WebServer, part: Path, how: dict[str, object]
) -> None:
    server.serve("/disk", CONTENT, breaks_after=[HALF], **how)
    assert await fetched(server, part) == CONTENT
    assert [asked for _, asked in server.asked] == [None, f"bytes={HALF}-", None]


async def test_a_part_longer_than_the_file_is_fetched_again(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT)
    with arriving(part) as file:
        file.begin(FileOrigin(f"{server.url}/disk", '"1"', len(CONTENT)))
        file.append(CONTENT + b"more")
    assert await fetched(server, part) == CONTENT


async def test_a_part_from_another_address_is_not_taken_for_this_one(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT)
    with arriving(part) as file:
        file.begin(FileOrigin(f"{server.url}/other", '"1"', len(CONTENT)))
        file.append(b"other")
    assert await fetched(server, part) == CONTENT
    assert server.asked == [("/disk", None)]


async def test_a_server_that_announces_more_than_it_sends_is_told_apart_from_a_whole_file(
    server: WebServer, part: Path
) -> None:
    server.serve("/disk", CONTENT, announced=len(CONTENT) + 10, ranges=False)
    with pytest.raises(OperationFailed, match="cannot be downloaded"):
        await fetched(server, part)


async def test_a_server_that_falls_silent_is_left_and_what_arrived_is_kept(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, hangs_after=1000, etag=None)
    with pytest.raises(OperationFailed, match=r"no answer for 0\.2 s"):
        await fetched(server, part, replace(LIMITS, silence_s=0.2, tries=1))
    assert CONTENT.startswith(arrived(part)), "a busy machine may not have received anything yet"


async def test_a_download_ends_when_its_time_is_up(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, hangs_after=1000)
    with pytest.raises(OperationTimeout, match=r"has not arrived within 0\.3 s") as caught:
        await fetched(server, part, replace(LIMITS, time_s=0.3))
    assert (caught.value.hint is not None) == bool(arrived(part)), "only what has arrived can be continued"
    assert CONTENT.startswith(arrived(part)), "a busy machine may not have received anything yet"


@pytest.mark.parametrize("how", [{}, {"chunked": True}])
async def test_a_file_above_the_limit_is_refused_whether_it_says_so_or_not(
    server: WebServer, part: Path, how: dict[str, object]
) -> None:
    server.serve("/disk", CONTENT, **how)
    with pytest.raises(OperationFailed, match="is larger than"):
        await fetched(server, part, replace(LIMITS, most_bytes=HALF))
    assert len(arrived(part)) <= HALF


async def test_a_file_that_does_not_fit_is_not_begun(
    server: WebServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/disk", CONTENT)
    monkeypatch.setattr(space, "free_bytes", lambda _: space.RESERVE_BYTES + HALF)
    with pytest.raises(OperationFailed, match="are free") as caught:
        await fetched(server, part)
    assert caught.value.hint == "free some space on that file system"
    assert arrived(part) == b""


async def test_redirects_are_followed_and_the_rest_is_asked_for_by_the_same_way(server: WebServer, part: Path) -> None:
    server.files["/disk"] = Served(b"", redirect="/mirror/disk?token=1")
    server.serve("/mirror/disk", CONTENT, breaks_after=[HALF])
    assert await fetched(server, part) == CONTENT
    assert server.asked[-1] == ("/mirror/disk?token=1", f"bytes={HALF}-")


async def test_a_server_that_redirects_in_circles_is_left(server: WebServer, part: Path) -> None:
    server.files["/disk"] = Served(b"", redirect="/disk")
    with pytest.raises(OperationFailed, match="redirects more than 5 times"):
        await fetched(server, part)
    assert len(server.asked) == 6


@pytest.mark.parametrize("to", ["http://example.org/disk", "file:///etc/passwd", "ftp://127.0.0.1/disk"])
async def test_a_redirect_to_an_address_that_is_not_safe_is_not_followed(
    server: WebServer, part: Path, to: str
) -> None:
    server.files["/disk"] = Served(b"", redirect=to)
    with pytest.raises(InvalidArgument, match="is not an https address"):
        await fetched(server, part)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_file_that_is_not_there_is_said_to_be_missing(server: WebServer, part: Path, status: int) -> None:
    server.serve("/disk", CONTENT, status=[status])
    with pytest.raises(ImageNotFound, match=f"answers {status}"):
        await fetched(server, part)


async def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, status=[503, 429])
    assert await fetched(server, part) == CONTENT


async def test_a_refusal_is_not_repeated(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, status=[403])
    with pytest.raises(OperationFailed, match="answers 403"):
        await fetched(server, part)
    assert len(server.asked) == 1


async def test_what_is_compressed_on_the_way_is_refused(server: WebServer, part: Path) -> None:
    server.serve("/disk", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(OperationFailed, match="is sent compressed"):
        await fetched(server, part)


async def test_a_server_that_is_not_there_is_named(part: Path) -> None:
    with running_web_server() as gone:
        pass
    with pytest.raises(OperationFailed, match=f"{gone.url}/disk cannot be downloaded"):
        await fetched(gone, part)


async def test_two_processes_do_not_download_to_one_place(part: Path) -> None:
    with arriving(part), pytest.raises(Conflict, match="another process is downloading"), arriving(part):
        pass


async def test_a_text_is_fetched_but_not_one_without_end(server: WebServer) -> None:
    server.serve("/sums", b"a text")
    assert await fetch_text(f"{server.url}/sums", LIMITS) == "a text"
    server.serve("/sums", bytes(2 << 20))
    with pytest.raises(OperationFailed, match="is no file of checksums"):
        await fetch_text(f"{server.url}/sums", LIMITS)


@pytest.mark.parametrize(
    ("size_bytes", "said"), [(0, "0 bytes"), (1023, "1023 bytes"), (3 << 10, "3 KiB"), (5 << 20, "5 MiB")]
)
def test_an_amount_is_told_in_a_unit_that_it_has_one_of(size_bytes: int, said: str) -> None:
    assert amount(size_bytes) == said
