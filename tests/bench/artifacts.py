"""Registering a tree of 50,000 files and 2 GiB, first and again, and bringing a small change of a tree to a node.

The node is an sshd on the loopback interface: what is measured is our part and rsync's, not an emulated machine.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from reconciler.artifacts.delivery import Delivery
from reconciler.artifacts.library import Library
from reconciler.files.roots import opened
from reconciler.guest.pool import SshPool
from reconciler.model.choices import BuildType
from reconciler.model.results import BuildArtifact, NodeSync
from reconciler.progress import no_progress
from tests.bench.figure import Figure, median_figure
from tests.sshd import Sshd, running_sshd

FILES = 50_000
TREE_BYTES = 2 * 1024**3
AGAIN = 5
SYNCED_FILES = 5_000
SYNCED_BYTES = 200 * 1024**2
SETTLED_S = 2.5
"""So long after its last change a file's times tell whether it changed again."""

T = TypeVar("T")

_FILES_IN_A_DIRECTORY = 100
_NOISE_BYTES = 1024**2


async def measure() -> Sequence[Figure]:
    """All figures; the trees are gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        figures = await _registering(Path(name))
    with tempfile.TemporaryDirectory() as name:
        return [*figures, *await _syncing(Path(name))]


async def _registering(place: Path) -> list[Figure]:
    tree = place / "tree"
    await asyncio.to_thread(make_tree, tree, FILES, TREE_BYTES)
    await asyncio.sleep(SETTLED_S)
    hash_s, _ = await _timed(lambda: asyncio.to_thread(hash_all, tree))
    copy_s, _ = await _timed(lambda: asyncio.to_thread(copy_all, tree, place / "copy"))
    library = Library(place / "trees", place / "registry.json")
    first_s, first = await _timed(lambda: _register(library, tree))
    # Not before: for minutes ext4 looks for other inodes than those freed last (`recently_deleted`, Linux 3.14).
    await asyncio.to_thread(shutil.rmtree, place / "copy")
    look_s, again_s = [], []
    for _ in range(AGAIN):
        look_s.append((await _timed(lambda: asyncio.to_thread(look_at_all, tree)))[0])
        took_s, again = await _timed(lambda: _register(library, tree))
        again_s.append(took_s)
        assert again.artifact_id == first.artifact_id
    with (tree / "0" / "0").open("r+b") as file:
        file.write(b"!")
    changed_s, changed = await _timed(lambda: _register(library, tree))
    assert changed.artifact_id != first.artifact_id
    what = f"{FILES:,} files, {TREE_BYTES // 1024**3} GiB"
    return [
        Figure(
            f"register {what}, each content read and kept",
            first_s,
            baseline=hash_s + copy_s,
            limit_ratio=1.5,
            reference=f"sha256 of all, {hash_s:.1f} s, then cp and sync",
        ),
        median_figure(
            f"register {what} again, unchanged",
            again_s,
            limit=1.0,
            baseline=look_s,
            limit_ratio=2.0,
            reference="os.walk and lstat of all",
        ),
        Figure(f"register {what} again, one byte changed", changed_s),
    ]


async def _syncing(place: Path) -> list[Figure]:
    tree = place / "tree"
    await asyncio.to_thread(make_tree, tree, SYNCED_FILES, SYNCED_BYTES)
    library = Library(place / "trees", place / "registry.json")
    first = await _register(library, tree)
    with (tree / "1" / "100").open("r+b") as file:
        file.write(b"another byte")
    second = await _register(library, tree)
    (place / "sshd").mkdir()
    with running_sshd(place / "sshd") as sshd:
        async with SshPool() as ssh:
            whole = await _sync(library, ssh, sshd, first, place)
            small = await _sync(library, ssh, sshd, second, place)
            skipped_s, skipped = await _timed(lambda: _sync(library, ssh, sshd, second, place))
    assert skipped.skipped
    what = f"{SYNCED_FILES:,} files, {SYNCED_BYTES // 1024**2} MiB"
    return [
        Figure(f"sync {what} to a loopback node", whole.duration_s),
        Figure(f"sync {what}, one file changed", small.duration_s, baseline=whole.duration_s, limit_ratio=1.0),
        Figure(f"sent for it, of {whole.bytes_transferred:,} bytes", small.bytes_transferred, unit="bytes"),
        Figure(f"sync {what}, complete already", skipped_s, limit=1.0),
    ]


def make_tree(root: Path, files: int, total_bytes: int) -> None:
    """Files of one size, each with a content of its own: a window into noise, and its number."""
    noise, size_bytes = os.urandom(_NOISE_BYTES), total_bytes // files
    for directory in range(-(-files // _FILES_IN_A_DIRECTORY)):
        (root / str(directory)).mkdir(parents=True)
    for number in range(files):
        at = number * 4099 % (_NOISE_BYTES - size_bytes)
        path = root / str(number // _FILES_IN_A_DIRECTORY) / str(number)
        path.write_bytes(number.to_bytes(8) + noise[at : at + size_bytes - 8])


def look_at_all(root: Path) -> int:
    """The least that any check of an unchanged tree has to do; returns how many bytes its files have."""
    return sum(os.lstat(f"{place}/{name}").st_size for place, _, names in os.walk(root) for name in names)


def hash_all(root: Path) -> int:
    """The least that any reader of a tree has to do: sha256 over every file; returns their number."""
    count = 0
    for directory, _, names in os.walk(root):
        for name in names:
            with Path(directory, name).open("rb") as file:
                hashlib.file_digest(file, "sha256").hexdigest()
            count += 1
    return count


def copy_all(source: Path, target: Path) -> None:
    """The least that any store of a tree has to do: write its files once more."""
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["sync", "-f", target], check=True)


async def _register(library: Library, tree: Path) -> BuildArtifact:
    return await library.register(
        opened(tree), BuildType.RAW_TREE, kernel_version=None, metadata={}, report=lambda _words: None
    )


async def _sync(library: Library, ssh: SshPool, sshd: Sshd, artifact: BuildArtifact, place: Path) -> NodeSync:
    delivery = Delivery(
        library,
        ssh,
        artifact.artifact_id,
        base=str(place / "node"),
        known_hosts_path=place / "known_hosts",
        timeout_s=600,
        progress=no_progress,
    )
    (outcome,) = (await delivery.to_nodes([sshd.address], force=False)).values()
    assert outcome.error is None, outcome.error
    return outcome


async def _timed(work: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    began = time.perf_counter()
    result = await work()
    return time.perf_counter() - began, result
