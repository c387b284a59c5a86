"""A topology that comes through a pipe is read once, whole, and as far as a file may go."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.desired.topology_text import TopologyText, read_given
from reconciler.errors import TopologyInvalid, TopologyNotFound
from reconciler.source.decoding import MAX_FILE_BYTES

from .conftest import TOPOLOGY
from .files import settings_in


def piped(content: bytes) -> int:
    """The end of a pipe through which `content` comes in pieces."""
    reading, writing = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as stream:  # too much is not read to its end
            stream.write(content)

    threading.Thread(target=write, daemon=True).start()
    return reading


def test_what_is_a_file_or_a_name_stays_as_it_is(host: Path) -> None:
    (host / "lab.yaml").write_text(TOPOLOGY)
    for given in ("lab", "lab.yaml", f"{host}/lab.yaml", f"{host}/absent.yaml", f"{host}/", "a\0/b"):
        assert read_given(given) == given


def test_a_pipe_is_read_whole_and_its_paths_start_here(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(host)
    content = TOPOLOGY.encode() + b"#" * 200_000
    descriptor = piped(content)
    given = read_given(f"/dev/fd/{descriptor}")
    os.close(descriptor)
    assert given == TopologyText(f"/dev/fd/{descriptor}", content, host)
    for _ in range(2):
        name, spec = load_spec(given, settings_in(host))
        assert (name, spec.nodes["a"].base_image.path) == ("lab", host / "base.qcow2")


def test_a_named_pipe_is_read(host: Path) -> None:
    os.mkfifo(host / "pipe")
    threading.Thread(target=(host / "pipe").write_text, args=[TOPOLOGY], daemon=True).start()
    given = read_given(f"{host}/pipe")
    assert isinstance(given, TopologyText)
    assert given.content.decode() == TOPOLOGY


def test_a_file_as_standard_input_is_beside_no_other_files(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(host)
    (host / "lab.yaml").write_text(TOPOLOGY)
    with (host / "lab.yaml").open() as file:
        given = read_given(f"/proc/self/fd/{file.fileno()}")
    assert isinstance(given, TopologyText)
    assert given.base_dir == host


def test_what_is_too_large_or_not_text_is_refused_with_its_place(host: Path) -> None:
    descriptor = piped(b"#" * (2 * MAX_FILE_BYTES))
    given = read_given(f"/dev/fd/{descriptor}")
    os.close(descriptor)
    with pytest.raises(TopologyInvalid, match=rf"/dev/fd/{descriptor}:1:1: the file is larger than"):
        load_spec(given, settings_in(host))
    with pytest.raises(TopologyInvalid, match=r"/dev/zero:1:1: the file is larger than"):
        load_spec(read_given("/dev/zero"), settings_in(host))


def test_standard_input_that_is_closed_is_said_to_be() -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        with pytest.raises(TopologyNotFound, match=r"<stdin> cannot be read: Bad file descriptor"):
            read_given("-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
