"""`python -m tests.other_release [--long | -- COMMAND...]`, as root; its exit code is the command's."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
from tests.other_release.short import EARLIER, in_a_lab, makes_earlier, short_form

_PROGRAMS = ("mmdebstrap", "pivot_root", "unshare")
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
    parser.add_argument("--long", action="store_true", help="the whole suite instead of the short form")
    parser.add_argument("--image-dir", type=Path, default=_IMAGE_DIR, metavar="DIR", help="guest images of the host")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="something else to run inside, after --")
    options = parser.parse_args(arguments)
    if options.long and options.command:
        parser.error("--long has its own command")
    if not (options.image_dir / "base.qcow2").is_file():
        parser.error(f"there is no guest image in {options.image_dir}: `make image` builds one")
    return options


def _run_asked(root: Path, options: argparse.Namespace) -> int:
    images: Path = options.image_dir.resolve()
    if options.command:
        return _run(root, options.command, images)
    if options.long:
        return _run(root, ["make", "test"], images)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        kept = Path(directory) / "earlier.tar"
        say("on this release: a cluster with a snapshot of its memory, for the other one to take up")
        code = subprocess.run(
            in_a_lab(sys.executable, images, makes_earlier(sys.executable, kept)), check=False
        ).returncode
        if code != 0:
            return code
        for name, command in short_form(VENV / "bin" / "python", images):
            say(f"on {root.name.partition('-')[0]}: {name}")
            code = _run(root, command, images, read_only=[kept], environment={EARLIER: str(kept)})
            if code != 0:
                return code
    return 0


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
