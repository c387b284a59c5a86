"""When a machine was started: by its process, which is one of the test's own here."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.host.machine_start import MachineStart, read_machine_start
from reconciler.model.document import Unknown

NAME = "lab.n0"


@pytest.fixture(params=[[], ["-incoming", "defer"]], ids=["booted", "restored"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """Where the number of a process is that looks like a machine, and whether it began from memory."""
    command = [
        sys.executable,
        "-c",
        "print(flush=True); input()",
        "-name",
        f"guest={NAME},debug-threads=on",
        *request.param,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs its own program by now, and no longer ours
        (tmp_path / f"{NAME}.pid").write_text(str(process.pid))
        yield tmp_path, bool(request.param)
        process.kill()


def test_a_start_is_told_by_the_process_and_the_file_that_names_it(machine: tuple[Path, bool]) -> None:
    directory, restored = machine
    before_s = time.monotonic()
    start = read_machine_start(NAME, directory)
    assert isinstance(start, MachineStart)
    assert start.restored is restored
    assert start.started_ns == (directory / f"{NAME}.pid").stat().st_mtime_ns
    later = read_machine_start(NAME, directory)
    assert isinstance(later, MachineStart)
    assert 0 <= later.age_s - start.age_s <= time.monotonic() - before_s


@pytest.mark.parametrize("content", ["of this test", "0", "4194305", "", "x"])
def test_a_file_that_names_no_machine_of_that_name_is_not_believed(tmp_path: Path, content: str) -> None:
    (tmp_path / f"{NAME}.pid").write_text(content.replace("of this test", str(os.getpid())))
    assert isinstance(read_machine_start(NAME, tmp_path), Unknown)
    assert isinstance(read_machine_start("lab.other", tmp_path), Unknown)
