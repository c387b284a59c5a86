"""`python -m tests.other_release [--long] [-- WORDS...]`, as root; its exit code is that of what runs inside."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import ClusterError
from tests import archives
from tests.lab.launch import kept_environment, run_namespaces
from tests.other_release import CACHE, SYSTEM_PATH, VENV
from tests.other_release.pip_files import pip_environment, pip_files
from tests.other_release.releases import other_release
from tests.other_release.root import (
    REPOSITORY,
    RootFailed,
    is_prepared,
    locked,
    make_root,
    note_prepared,
    root_dir,
    say,
)
from tests.other_release.short import EARLIER, GUEST_STAGE, HOST_STAGE, in_a_lab, makes_earlier

_PROGRAMS = ("mmdebstrap", "pivot_root", "setpriv", "unshare")
_IMAGE_DIR = Path("/var/lib/vmcluster/images")


def main(arguments: Sequence[str]) -> int:
    """Make the root where it is not there yet, and run in it what is asked for."""
    options = _parse(arguments)
    if os.geteuid() != 0:
        sys.exit("other-release: needs root for mmdebstrap and namespaces: sudo, or `make other-release`")
    if missing := [name for name in _PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]:
        sys.exit(f"other-release: not installed: {', '.join(missing)}: `make setup` installs them")
    try:
        with _ready_root(other_release(archives.os_release())) as root:
            return _run_asked(root, options)
    except (RootFailed, ClusterError) as error:
        sys.exit(f"other-release: {error}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.other_release", description=__doc__)
    parser.add_argument("--long", action="store_true", help="`make test` instead of the short form")
    parser.add_argument("--image-dir", type=Path, default=_IMAGE_DIR, metavar="DIR", help="guest images of the host")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="after --: a command to run inside; with --long, variables of `make test`",
    )
    options = parser.parse_args(arguments)
    if options.long and (other := [word for word in options.words if "=" not in word]):
        parser.error(f"--long runs `make test` and takes its variables alone, NAME=VALUE: not {' '.join(other)}")
    if not (options.image_dir / "base.qcow2").is_file():
        parser.error(f"there is no guest image in {options.image_dir}: `make image` builds one")
    return options


def _run_asked(root: Path, options: argparse.Namespace) -> int:
    images: Path = options.image_dir.resolve()
    if options.long:
        return _run(root, ["make", "test", *options.words], images)
    if options.words:
        return _run(root, options.words, images)
    return _run_short(root, images)


def _run_short(root: Path, images: Path) -> int:
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        archive = Path(directory) / "earlier.tar"
        with _made_meanwhile(images, archive) as made:
            code = _run(root, _short(HOST_STAGE, images), images)
            if code == 0 and (code := made()) == 0:
                environment = {EARLIER: str(archive)}
                code = _run(root, _short(GUEST_STAGE, images), images, read_only=[archive], environment=environment)
    return code


def _short(stage: str, images: Path) -> list[str]:
    return [str(VENV / "bin" / "python"), "-m", "tests.other_release.short", stage, str(images)]


@contextmanager
def _made_meanwhile(images: Path, archive: Path) -> Iterator[Callable[[], int]]:
    """Make the cluster to take up, on this release; what is given waits for it, and says how that ended."""
    command = in_a_lab(sys.executable, images, makes_earlier(sys.executable, archive))
    log = archive.with_suffix(".log")
    with log.open("w") as output:
        # It does not outlive this process, however that ends.
        making = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", "--", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def wait() -> int:
        say("on this release: waiting for a cluster with a snapshot of its memory, for the other one to take up")
        if code := making.wait():
            print(log.read_text(), file=sys.stderr)
        return code

    try:
        yield wait
    finally:
        making.terminate()
        making.wait()


@contextmanager
def _ready_root(codename: str) -> Iterator[Path]:
    root = root_dir(codename)
    while True:
        with locked(codename, exclusive=False):
            if is_prepared(root):
                yield root
                return
        with locked(codename, exclusive=True):
            _prepare(codename)


def _prepare(codename: str) -> None:
    root = make_root(codename, archives.sources(codename), asyncio.run(archives.acquire_options()))
    if is_prepared(root):
        return
    say(f"installing Python packages for {codename}")
    if _run(root, [".ci/setup", "tests"], None, read_only=pip_files(), environment=pip_environment()) != 0:
        raise RootFailed("the Python packages cannot be installed: see above, then run this again")
    note_prepared(root)


def _run(
    root: Path,
    command: Sequence[str],
    images: Path | None,
    *,
    read_only: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run `command` in the root, in the checkout; `read_only` is seen inside as it is outside."""
    seen = [*([images] if images else []), *read_only]
    kept = kept_environment(os.environ) | dict(environment or {})
    if images:
        kept["VMCLUSTER_TEST_IMAGE_DIR"] = str(images)
    arguments = [str(root), str(REPOSITORY), *map(str, seen), "--", *command]
    return run_namespaces(("--mount", "--pid"), "tests.other_release.enter", arguments, kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
