"""The pipe that gives a saved memory to libvirt as that of another machine."""

import os
import threading
from pathlib import Path

import pytest

from reconciler.host.libvirt.memory_pipe import _feed, delete_memory_pipes
from tests.waiting import PATIENCE_S

BEGINNING = b"head and XML of the node"
MEMORY = os.urandom(3 << 20)


@pytest.mark.parametrize("looks", [0, 1, 2], ids=["opened once", "opened twice", "opened three times"])
def test_whoever_opens_the_pipe_reads_all_of_it_however_often_only_its_head_was_read_before(
    tmp_path: Path, looks: int
) -> None:
    """libvirt 9 opens it once, libvirt 11 looks at the XML first."""
    pipe, memory = tmp_path / "pipe", tmp_path / "memory"
    os.mkfifo(pipe)
    memory.write_bytes(b"saved" + MEMORY)
    over = threading.Event()
    with memory.open("rb", buffering=0) as file:
        file.read(5)
        feeder = threading.Thread(target=_feed, args=(pipe, BEGINNING, file.fileno(), over), daemon=True)
        feeder.start()
        for _ in range(looks):
            with pipe.open("rb", buffering=0) as reader:
                assert reader.read(4) == BEGINNING[:4]
        with pipe.open("rb") as reader:
            assert reader.read() == BEGINNING + MEMORY
        over.set()
        feeder.join(PATIENCE_S)
        assert not feeder.is_alive()


def test_the_pipe_is_given_up_when_nobody_has_opened_it(tmp_path: Path) -> None:
    pipe, over = tmp_path / "pipe", threading.Event()
    os.mkfifo(pipe)
    over.set()
    with pipe.with_name("memory").open("wb+", buffering=0) as file:
        _feed(pipe, BEGINNING, file.fileno(), over)
    assert pipe.exists()


def test_pipes_that_were_left_are_removed_and_nothing_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".as-node-1-2")
    (tmp_path / ".as-node-file").write_text("somebody's")
    delete_memory_pipes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".as-node-file"]
