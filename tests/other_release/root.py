"""The root file system of the other release: made once with mmdebstrap, with a virtual environment in it.

Its directory is named after what it was made from. One lock per release: shared while a root is used, exclusive while
one is made.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.other_release import CACHE

REPOSITORY = Path(__file__).parents[2]
PACKAGE_LISTS = tuple(REPOSITORY / "specs" / "packages" / name for name in ("debian.txt", "tests.txt", "browser.txt"))

_LAYOUT = 1
"""Another number for each change of how a root is made."""

_PYTHON_FROM = ("pyproject.toml", "tests/requirements.txt", ".ci/setup")
_PREPARED = "prepared"
_NO_SERVICES = "printf '#!/bin/sh\\nexit 101\\n' | install -D -m 755 /dev/stdin \"$1/usr/sbin/policy-rc.d\""


class RootFailed(Exception):
    """The root cannot be made; the message says why and what to do."""


def packages() -> list[str]:
    """All that is installed, by name."""
    lines = (line for each in PACKAGE_LISTS for line in each.read_text().splitlines())
    return sorted({name for line in lines for name in line.partition("#")[0].split()})


def root_dir(codename: str) -> Path:
    """Where the root of that release is, made or not."""
    recipe = "\n".join([str(_LAYOUT), codename, *packages()])
    return CACHE / f"{codename}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


def python_digest() -> str:
    """What the virtual environment is made from."""
    content = b"".join((REPOSITORY / name).read_bytes() for name in _PYTHON_FROM)
    return hashlib.sha256(content).hexdigest()


def is_prepared(root: Path) -> bool:
    """Whether the virtual environment in it is the one that this checkout wants."""
    stamp = root / _PREPARED
    return stamp.is_file() and stamp.read_text() == python_digest()


def note_prepared(root: Path) -> None:
    """Its virtual environment is complete."""
    (root / _PREPARED).write_text(python_digest())


@contextmanager
def locked(codename: str, *, exclusive: bool) -> Iterator[None]:
    """Nobody makes a root of that release meanwhile; with `exclusive`, nobody uses one either."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # Not inherited: a process that outlives the run would keep the lock.
    with (CACHE / f"{codename}.lock").open("w") as lock:
        wanted = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(lock, wanted | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run uses or makes the root: waiting for it")
            fcntl.flock(lock, wanted)
        yield


def make_root(codename: str, sources: list[str], apt_options: list[str]) -> Path:
    """The root of that release without Python packages, under `locked(exclusive=True)`; older ones are removed."""
    root = root_dir(codename)
    if root.is_dir():
        return root
    for old in CACHE.glob(f"{codename}-*"):
        # A mount in it would be somebody's; there can be none from here, and none is followed.
        subprocess.run(["rm", "-rf", "--one-file-system", str(old)], check=True)
    making = root.with_name(f"{root.name}.making")
    say(f"installing {codename} in {root}")
    done = subprocess.run(_mmdebstrap(codename, making, sources, apt_options), stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise RootFailed(f"mmdebstrap ended with {done.returncode}: see above, then run this again")
    making.rename(root)
    return root


def say(text: str) -> None:
    """Tell the user what takes so long."""
    print(f"\033[1m==> {text}\033[0m", file=sys.stderr, flush=True)


def _mmdebstrap(codename: str, root: Path, sources: list[str], apt_options: list[str]) -> list[str]:
    # In namespaces of its own, so that nothing stays mounted when it is killed.
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    command += ["env", "LC_ALL=C.UTF-8", f"TMPDIR={CACHE}", "mmdebstrap", "--quiet", "--mode=root"]
    command += ["--variant=minbase", f"--include={','.join(packages())}", f"--setup-hook={_NO_SERVICES}"]
    command += [f"--aptopt={option}" for option in apt_options]
    return [*command, codename, os.fspath(root), *sources]
