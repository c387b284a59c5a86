"""Kernel logs that many hostile nodes make as large as they can: one by one is in memory, and answers have a limit."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from reconciler.guest.kernel_buffer import OUTPUT_LIMIT_BYTES
from reconciler.model.kernel_log import DmesgResult
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases import kernel_logs
from tests.hostile.tally import Tally
from tests.sshd import Sshd, running_sshd
from tests.unit.store.samples import sample_record
from tests.waiting import PATIENCE_S

NODES = 4
TEXT = "x" * 8000
DD = f"""#!{sys.executable}
import sys
wanted = next(int(word[6:]) for word in sys.argv if word.startswith("count="))
size = int(open(sys.argv[0] + ".size").read())
record = "3,%d,1000,-;BUG: kernel NULL pointer dereference, address: {TEXT}\\n"
count = min(wanted, size // len(record))
for number in range(count):
    sys.stdout.write(record % number)
sys.stdout.flush()
sys.stderr.write("dd: Resource temporarily unavailable\\n" * 100_000)
sys.exit(count < wanted)
"""


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[Sshd]:
    """A node whose dd(1) prints a log of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dd").write_text(DD)
    (tmp_path / "bin" / "dd").chmod(0o755)
    shell = tmp_path / "shell"
    shell.write_text(f'#!/bin/sh\nPATH={tmp_path}/bin:$PATH exec {shutil.which("bash")} "$@"\n')
    shell.chmod(0o755)
    with running_sshd(tmp_path, login_shell=str(shell)) as sshd:
        yield sshd


def logs_of(sshd: Sshd, tmp_path: Path, size_bytes: int, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    (tmp_path / "bin" / "dd.size").write_text(str(size_bytes))
    nodes = [replace(sshd.address, node=f"n{number}") for number in range(NODES)]
    monkeypatch.setattr(kernel_logs, "addresses", AsyncMock(return_value=nodes))  # those of a cluster are at port 22
    return Runtime(Settings(state_dir=tmp_path / "state", libvirt_uri="qemu+unix:///system?socket=/nonexistent"))


async def collected(runtime: Runtime) -> dict[str, DmesgResult]:
    async with runtime:
        await runtime.store.put(sample_record(), expected_generation=0, actor="test")
        return await kernel_logs.KernelLogs(runtime).collect("lab", timeout_s=PATIENCE_S)


async def test_large_logs_of_many_nodes_are_read_one_by_one_and_answered_in_bounds(
    talkative: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    runtime = logs_of(talkative, tmp_path, OUTPUT_LIMIT_BYTES - (1 << 20), monkeypatch)
    with tally.fuzzing(NODES):
        found = await collected(runtime)
    assert len(found) == NODES
    for answer in found.values():
        assert answer.error_count >= 1
        assert answer.omitted_lines > 0
        assert 0 < sum(len(line.text) for line in answer.lines) <= 5 << 20
        assert 0 < sum(len(line) for event in answer.events for line in event.lines) <= 6 << 20


async def test_logs_of_ordinary_size_are_read_at_once(
    talkative: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await collected(logs_of(talkative, tmp_path, 256 * 1024, monkeypatch))
    assert {len(answer.lines) for answer in found.values()} == {256 * 1024 // (len(TEXT) + 58)}
