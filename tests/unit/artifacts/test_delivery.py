"""Trees on their way to a node, over a real sshd on the loopback interface."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.artifacts.delivery import Delivery
from reconciler.artifacts.library import Library
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry
from reconciler.artifacts.upload import best_basis
from reconciler.guest.keys import generate_host_key
from reconciler.guest.pool import SshPool
from reconciler.guest.rsync import parse_bytes_sent, parse_percent
from reconciler.model.results import NodeSync
from reconciler.progress import no_progress
from tests.sshd import Sshd, own_sshd, pool, sshd
from tests.waiting import PATIENCE_S, eventually

from .samples import kept, library, registered

__all__ = ["own_sshd", "pool", "sshd"]

HOSTILE = [b"-rf", b"--delete", b"a\nb", b"\x1b[2J", b"\xff\xfe", b" ", b"*", b"'\"", b"$(touch x)", b"+ a", b"; b"]


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    return library(tmp_path / "shelf with a space and an ' in it")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    for name in HOSTILE:
        (root / "sub" / os.fsdecode(name)).write_bytes(name)
    (root / "big").write_bytes(os.urandom(300_000))
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("sub/ ")
    return root


class Node:
    """Deliveries to the sshd as if it were a node."""

    def __init__(self, shelf: Library, ssh: SshPool, sshd: Sshd, directory: Path) -> None:
        self.base = directory / "node" / "arti facts"
        self.shelf, self._ssh, self.address = shelf, ssh, sshd.address
        self._known_hosts = shelf.store_dir.parent / "known_hosts"

    async def sync(self, artifact_id: str, *, force: bool = False, timeout_s: float = 60.0) -> NodeSync:
        delivery = Delivery(
            self.shelf,
            self._ssh,
            artifact_id,
            base=str(self.base),
            known_hosts_path=self._known_hosts,
            timeout_s=timeout_s,
            progress=no_progress,
        )
        (outcome,) = (await delivery.to_nodes([self.address], force=force)).values()
        return outcome

    def marks(self) -> set[str]:
        directory = self.base / ".complete"
        return {path.name for path in directory.iterdir()} if directory.exists() else set()


@pytest.fixture
async def node(shelf: Library, pool: SshPool, sshd: Sshd, tmp_path: Path) -> AsyncIterator[Node]:
    yield Node(shelf, pool, sshd, tmp_path)
    assert kept(shelf).others == 0


async def test_a_tree_arrives_as_it_was_and_is_not_sent_twice(node: Node, tree: Path) -> None:
    artifact = await registered(node.shelf, tree)
    first = await node.sync(artifact.artifact_id)
    assert (first.error, first.rsync_exit_code, first.skipped) == (None, 0, False)
    assert first.bytes_transferred > 300_000
    assert (await registered(node.shelf, node.base / artifact.artifact_id)).artifact_id == artifact.artifact_id
    assert node.marks() == {artifact.artifact_id}
    again = await node.sync(artifact.artifact_id)
    assert (again.skipped, again.bytes_transferred) == (True, 0)


async def test_of_a_second_version_only_the_difference_travels(node: Node, tree: Path) -> None:
    await node.sync((first := await registered(node.shelf, tree)).artifact_id)
    times = (tree / "big").stat()
    with (tree / "big").open("r+b") as file:
        file.seek(150_000)
        file.write(b"another byte")
    os.utime(tree / "big", ns=(times.st_atime_ns, times.st_mtime_ns))
    second = await registered(node.shelf, tree)
    outcome = await node.sync(second.artifact_id)
    assert outcome.basis == first.artifact_id
    assert outcome.bytes_transferred < 300_000 / 5
    for artifact in (first, second):  # the earlier one is not touched
        assert (await registered(node.shelf, node.base / artifact.artifact_id)).artifact_id == artifact.artifact_id


async def test_force_makes_a_changed_tree_exact_again(node: Node, tree: Path) -> None:
    artifact = await registered(node.shelf, tree)
    await node.sync(artifact.artifact_id)
    place = node.base / artifact.artifact_id
    (place / "run").write_text("#!/bin/no\n")
    (place / "new").touch()
    (place / "big").unlink()
    assert (await node.sync(artifact.artifact_id)).skipped
    assert not (await node.sync(artifact.artifact_id, force=True)).skipped
    assert (await registered(node.shelf, place)).artifact_id == artifact.artifact_id


async def test_a_broken_transfer_is_no_complete_tree_and_is_repeated_to_success(
    own_sshd: Sshd, shelf: Library, pool: SshPool, tree: Path, tmp_path: Path
) -> None:
    node = Node(shelf, pool, own_sshd, tmp_path)
    (tree / "huge").write_bytes(os.urandom(40_000_000))
    artifact = await registered(node.shelf, tree)
    place = node.base / artifact.artifact_id
    start_up_file, stalled = _with_stalling_rsync(tmp_path)
    work = asyncio.create_task(node.sync(artifact.artifact_id))
    await eventually(stalled.exists)
    own_sshd.signal_sessions(signal.SIGKILL)
    start_up_file.unlink()
    outcome = await work
    assert outcome.error is not None
    assert outcome.rsync_exit_code not in (0, None)
    assert node.marks() == set()
    assert (await node.sync(artifact.artifact_id)).error is None
    assert (await registered(node.shelf, place)).artifact_id == artifact.artifact_id


def _with_stalling_rsync(home: Path) -> tuple[Path, Path]:
    """Have logins run an rsync that stalls after 8 MB: the file that does so, and the one that then appears."""
    program, stalled, start_up_file = home / "bin" / "rsync", home / "stalled", home / ".bashrc"
    program.parent.mkdir()
    part = f"stdbuf -o0 head -c 8000000; touch {stalled}; exec sleep {10 * PATIENCE_S:.0f}"
    program.write_text(f'#!/bin/sh\n{{ {part}; }} | {shutil.which("rsync")} "$@"\n')
    program.chmod(0o755)
    start_up_file.write_text(f"PATH={program.parent}:$PATH\n")
    return start_up_file, stalled


async def test_two_clients_at_once_do_the_work_once(node: Node, tree: Path) -> None:
    artifact = await registered(node.shelf, tree)
    outcomes = await asyncio.gather(*(node.sync(artifact.artifact_id) for _ in range(3)))
    assert sorted(outcome.skipped for outcome in outcomes) == [False, True, True]


async def test_a_node_with_another_host_key_is_sent_nothing(node: Node, tree: Path) -> None:
    artifact = await registered(node.shelf, tree)
    node.address = replace(node.address, node="other", host_key=generate_host_key()[1])
    outcome = await node.sync(artifact.artifact_id)
    assert outcome.error is not None
    assert outcome.error.code == "SSH_ERROR"
    assert outcome.rsync_exit_code is None
    assert not node.base.exists()


def test_the_basis_is_the_artifact_with_most_in_common() -> None:
    def entries(**contents: bytes) -> list[TreeEntry]:
        return [TreeEntry(k.encode(), EntryKind.FILE, 0o644, v, len(v)) for k, v in contents.items()]

    wanted = entries(a=b"1" * 10, b=b"2" * 10)
    assert best_basis(wanted, []) is None
    assert best_basis(wanted, [("x", entries(c=b"1" * 10))]) is None
    assert best_basis(wanted, [("x", entries(a=b"0" * 10)), ("y", entries(a=b"1" * 10))]) == "y"
    assert best_basis(wanted, [("x", entries(a=b"0" * 10))]) == "x"


def test_what_rsync_reports_is_read() -> None:
    assert parse_bytes_sent(b"...\nTotal bytes sent: 12345\nTotal bytes received: 5\n") == 12345
    assert parse_bytes_sent(b"Total bytes sent: lots") == 0
    assert parse_percent(b"\r     32768  10%  1MB/s 0:00:01\r   65536  45%  1MB/s 0:00:01") == 45
    assert parse_percent(b"sending") is None
