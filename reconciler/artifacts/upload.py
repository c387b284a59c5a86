"""Sends a registered tree to one node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.artifacts import node_scripts
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry
from reconciler.errors import ClusterError, OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.guest_answers import parsing_answer
from reconciler.guest.pool import SshPool
from reconciler.guest.rsync import parse_bytes_sent, parse_percent, render_rsync_upload
from reconciler.process import Completed, run

NODE_STEP_TIMEOUT_S = 120.0
"""For the short steps on a node, which include a `sync` of everything that was sent."""

_REPORT_PERCENT = 20
_OPTIONS = (
    "-rlpt",
    "--checksum",  # times say nothing here: files of equal size in two builds may well have equal times
    "--omit-dir-times",
    "--omit-link-times",
    "--delete",
    "--timeout=60",
    # No --compress: for 65 MiB of shared libraries it sends 24 MB instead of 67 MB, yet over the loopback takes 4.0 s
    # instead of 2.4 s; it costs this host 0.43 s of CPU more, and an emulated node, which decompresses, 0.26 s less.
)
_STDOUT_LIMIT_BYTES = 4 * 1024**2
"""Progress of hours and the statistics; the rest is what the node's rsync wants to have printed."""
_STDERR_TAIL_CHARACTERS = 500
_DISK_FULL = "No space left on device"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A node before a transfer; `others` are the complete trees there, newest first."""

    complete: bool
    others: Sequence[str]


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a tree goes on a node."""

    address: GuestAddress
    base: str
    artifact_id: str

    @property
    def tree(self) -> str:
        return f"{self.base}/{self.artifact_id}"


async def prepare_upload(ssh: SshPool, place: NodePlace, *, force: bool) -> Prepared:
    """Make room for a tree, unless it exists; with `force` it no longer counts as complete."""
    words = [place.base, place.artifact_id, "yes" if force else "no"]
    said = await run_script(ssh, place.address, node_scripts.PREPARE, words)
    with parsing_answer(place.address.node, "what trees it has"):
        state, *others = said.splitlines()
    return Prepared(state == "complete", node_scripts.valid_ids(others))


async def send_tree(
    place: NodePlace,
    view: Path,
    known_hosts_path: Path,
    *,
    basis: str | None,
    timeout_s: float,
    report: Callable[[str], None],
) -> Completed:
    """Make the tree on the node equal to the view; its exit code is a result.

    The basis has an absolute path: since its fix of CVE-2026-43619, rsync opens no file below one that starts with
    `../`, and then fails to verify what it made (exit code 23; seen with 3.2.7-1+deb12u6).
    """
    options = [*_OPTIONS, *([f"--copy-dest={place.base}/{basis}"] if basis else [])]
    argv = render_rsync_upload(place.address, known_hosts_path, view, place.tree, options)
    last = 0

    def listen(chunk: bytes) -> None:
        nonlocal last
        percent = parse_percent(chunk)
        if percent is not None and percent >= last + _REPORT_PERCENT:
            last = percent
            report(f"{percent} % sent")

    return await run(
        argv,
        timeout_s=timeout_s,
        env={"LC_ALL": "C"},
        check=False,
        on_stdout=listen,
        stdout_limit_bytes=_STDOUT_LIMIT_BYTES,
    )


async def mark_complete(ssh: SshPool, place: NodePlace) -> None:
    """Mark the tree as complete on the node."""
    await run_script(ssh, place.address, node_scripts.COMPLETE, [place.base, place.artifact_id])


async def run_script(ssh: SshPool, address: GuestAddress, script: str, arguments: Sequence[str]) -> str:
    """The output of a short script that must succeed. Raises `OperationFailed` with the end of its errors."""
    command = node_scripts.render_call(script, arguments, user=address.user)
    answer = await ssh.run(address, command, timeout_s=NODE_STEP_TIMEOUT_S, own=True)
    if answer.timed_out or answer.exit_code != 0:
        raise OperationFailed(
            f"exit code {answer.exit_code}: {tail(answer.stderr)}", node=address.node, hint=_remedy(answer.stderr)
        )
    return answer.stdout


def failure_of(done: Completed, node: str) -> ClusterError:
    """The error for a failed rsync."""
    words = done.stderr.decode(errors="backslashreplace")
    return OperationFailed(f"rsync ended with {done.exit_code}: {tail(words)}", node=node, hint=_remedy(words))


def bytes_sent(done: Completed) -> int:
    """Bytes that were sent over the network."""
    return parse_bytes_sent(done.stdout)


def best_basis(entries: Sequence[TreeEntry], candidates: Sequence[tuple[str, Sequence[TreeEntry]]]) -> str | None:
    """The artifact with most in common, by paths, as rsync compares them; None if none has anything."""
    wanted = {entry.path: entry for entry in entries if entry.kind is EntryKind.FILE}

    def common_bytes(other: Sequence[TreeEntry]) -> int:
        """A file with different contents counts half: parts of it may be equal."""
        both = ((wanted[each.path], each) for each in other if each.path in wanted and each.kind is EntryKind.FILE)
        return sum(mine.size_bytes * (2 if mine.content == theirs.content else 1) for mine, theirs in both)

    scores = [(common_bytes(other), artifact_id) for artifact_id, other in candidates]
    best = max(scores, key=lambda score: score[0], default=(0, None))
    return best[1] if best[0] else None


def tail(words: str) -> str:
    """The end of what a program printed."""
    return words.strip()[-_STDERR_TAIL_CHARACTERS:]


def _remedy(words: str) -> str:
    if _DISK_FULL in words:
        return "free some space on the node, then call again"
    return "call again once the cause is fixed; what has arrived is reused"
