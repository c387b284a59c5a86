"""Console logs on the host, over their rotations."""

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.errors import OperationFailed
from reconciler.host.console_log import (
    ConsolePlace,
    ConsoleTail,
    bound_console,
    bound_consoles,
    note_on_console,
    read_console,
)
from reconciler.model.names import console_path
from tests.simulation.worlds import NODES, running_record


def rotate(path: Path) -> None:
    """As virtlogd does: `.0` becomes `.1`, the log becomes `.0`, and a new one begins."""
    first = path.with_name(path.name + ".0")
    if first.exists():
        first.rename(path.with_name(path.name + ".1"))
    path.rename(first)
    path.write_bytes(b"")


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_rotated_files_are_read_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    for part in (b"one\n", b"two\n"):
        append(log, part)
        rotate(log)
    append(log, b"three\n")
    (tmp_path / "n00.console.log").write_bytes(b"another's")
    text = read_console(log)
    assert (text.content, text.whole) == (b"one\ntwo\nthree\n", False)


def test_of_a_very_long_log_the_newest_part_is_read(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"x" * 1000)
    rotate(log)
    append(log, b"y" * 10)
    text = read_console(log, limit_bytes=15)
    assert (text.content, text.whole) == (b"x" * 5 + b"y" * 10, False)


def test_a_log_of_one_file_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"one\n")
    assert read_console(log).whole


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="cannot be read"):
        read_console(tmp_path / "n0.console.log")


def test_a_tail_has_what_comes_and_nothing_twice(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"before\n")
    tail = ConsoleTail(log)
    assert tail.read_new() == b""
    append(log, b"one\n")
    assert tail.read_new() == b"one\n"
    append(log, b"two\n")
    rotate(log)
    append(log, b"three\n")
    assert tail.read_new() == b"two\nthree\n"
    assert tail.read_new() == b""


def test_a_tail_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    tail = ConsoleTail(log)
    assert tail.read_new() == b""
    append(log, b"first\n")
    assert tail.read_new() == b"first\n"


def test_from_a_place_on_a_log_is_read_as_often_as_desired(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"before\n")
    place = ConsolePlace.end_of(log)
    assert place.read_on(10) == b""
    append(log, b"one\n")
    assert [place.read_on(10), place.read_on(10)] == [b"one\n"] * 2
    append(log, b"x" * 10)
    assert place.read_on(10) is None


def test_from_a_place_in_a_log_that_was_rotated_nothing_is_told(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"before\n")
    place = ConsolePlace.end_of(log)
    rotate(log)
    append(log, b"something longer\n")
    assert place.read_on(100) is None


def test_a_note_stands_on_a_line_of_its_own_in_a_log_that_is_there(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    note_on_console(log, "noted")
    assert not log.exists()
    append(log, b"an unfinished line")
    note_on_console(log, "noted")
    append(log, b"after\n")
    assert log.read_bytes().split() == [b"an", b"unfinished", b"line", b"noted", b"after"]
    assert b"\r\nnoted\r\n" in log.read_bytes()


def test_a_log_that_is_not_there_has_no_places(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    with pytest.raises(OperationFailed, match="cannot be read"):
        ConsolePlace.end_of(log)
    append(log, b"one\n")
    place = ConsolePlace.end_of(log)
    log.unlink()
    with pytest.raises(OperationFailed, match="cannot be read"):
        place.read_on(100)


KIB = 1024


def test_a_tail_reads_through_all_rotations_and_says_when_one_was_too_fast_for_it(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"before\n")
    tail = ConsoleTail(log)
    for part in (b"one\n", b"two\n"):
        append(log, part)
        rotate(log)
    append(log, b"three\n")
    assert (tail.read_new(), tail.take_missed()) == (b"one\ntwo\nthree\n", False)
    for part in (b"four\n", b"five\n", b"six\n"):
        rotate(log)
        append(log, part)
    assert tail.read_new().endswith(b"six\n")
    assert (tail.take_missed(), tail.take_missed()) == (True, False)


def test_a_tail_of_a_log_without_an_end_takes_a_bounded_part_of_it_at_once(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"")
    tail = ConsoleTail(log)
    append(log, b"x" * 1000 * KIB)
    parts = [tail.read_new() for _ in range(5)]
    assert b"".join(parts) == b"x" * 1000 * KIB
    assert max(map(len, parts)) <= 256 * KIB


async def test_a_log_that_nobody_rotates_is_cut_in_place_and_readers_go_on_behind_it(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"the first line\n" + b"a line\n" * 300 * KIB)
    tail, place = ConsoleTail(log), ConsolePlace.end_of(log)
    assert await bound_console(log, 4096 * KIB) == 0
    assert await bound_console(log, 1024 * KIB) > 1000 * KIB
    assert log.stat().st_blocks * 512 <= 1024 * KIB
    append(log, b"after\n")
    assert (tail.read_new(), tail.take_missed(), place.read_on(100)) == (b"after\n", False, b"after\n")
    text = read_console(log)
    assert not text.whole
    assert b"first" not in text.content
    assert b"\0" not in text.content
    assert text.content.endswith(b"a line\nafter\n")
    assert len(text.content) >= 512 * KIB


async def test_what_was_cut_off_before_it_was_read_is_said_to_be_missing(tmp_path: Path) -> None:
    log = tmp_path / "n0.console.log"
    append(log, b"before\n")
    tail = ConsoleTail(log)
    append(log, b"a line\n" * 300 * KIB)
    await bound_console(log, 1024 * KIB)
    news = b"".join(iter(tail.read_new, b""))
    assert tail.take_missed()
    assert len(news) >= 512 * KIB
    assert b"\0" not in news


async def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    append(tmp_path / "target", b"x" * 1000 * KIB)
    assert [await bound_console(tmp_path / name, KIB) for name in ("link", "none")] == [0, 0]


async def test_of_a_clusters_logs_those_are_cut_that_are_too_long_and_one_that_cannot_be_looked_at_is_told(
    tmp_path: Path,
) -> None:
    record = running_record(*NODES)
    record = record.model_copy(update={"spec": record.spec.model_copy(update={"overlay_dir": tmp_path})})
    long, short, odd = NODES
    paths = {node: console_path(tmp_path, record.cluster_name, node) for node in record.spec.nodes}
    paths[long].parent.mkdir(parents=True)
    for node, size in ((long, 3000 * KIB), (short, 100 * KIB)):
        append(paths[node], b"x" * size)
    paths[odd].symlink_to(tmp_path)

    def lstat(path: Path) -> os.stat_result:
        if path == paths[odd]:
            raise PermissionError(errno.EACCES, "not for you")
        return os.lstat(path)

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(Path, "lstat", lstat)
        await bound_consoles(record, 1024 * KIB)
    assert paths[long].stat().st_blocks * 512 <= 1024 * KIB
    assert paths[short].stat().st_blocks * 512 >= 100 * KIB
    assert [(of["event"], of["node"]) for of in logs if of["log_level"] == "warning"] == [
        ("console_cut", long),
        ("console_not_cut", odd),
    ]
