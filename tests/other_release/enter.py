"""Process 1 of a run: makes the root the root of everything below it, then runs the command and ends with it.

The root is bound on itself and taken with pivot_root(2): libvirt, which makes mounts private itself, refuses to work in
a mere chroot ("Failed disable mount propagation out of the root filesystem").
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.init import Init
from tests.lab.mounts import MountFlag, mount, mount_tmpfs
from tests.other_release import CHECKOUT, KEPT, SYSTEM_PATH, VENV

_TMPFS_SIZE = "50%"
_OVERLAY = Path("run/checkout")
_ENVIRONMENT = {
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": f"{VENV}/bin:{SYSTEM_PATH}",
    "PYTHONPYCACHEPREFIX": str(KEPT / "bytecode"),
    "VENV": str(VENV),
}


def main(arguments: Sequence[str]) -> int:
    """`LIFELINE ROOT CHECKOUT READ_ONLY... -- COMMAND...`: what is seen inside as it is outside, then what to run."""
    lifeline, root, checkout, *rest = arguments
    split = rest.index("--")
    init = Init(int(lifeline))
    furnish(Path(root), Path(checkout), [Path(name) for name in rest[:split]])
    pivot(Path(root))
    os.chdir(CHECKOUT)
    os.environ.update(_ENVIRONMENT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it would be for the checkout's sake, which is safe
    return init.run(rest[split + 1 :])


def furnish(root: Path, checkout: Path, read_only: Sequence[Path]) -> None:
    """Mount what the root lacks: devices, kernel file systems, room for what is written, the checkout, host files."""
    mount(str(root), root, flags=MountFlag.BIND)
    for name in ("dev", "sys"):
        mount(f"/{name}", root / name, flags=MountFlag.BIND | MountFlag.REC)
    mount("proc", root / "proc", "proc")
    for name in ("run", "tmp"):
        mount_tmpfs(root / name, _TMPFS_SIZE)
    (root / "tmp").chmod(0o1777)
    _mount_checkout(root, checkout)
    for path in read_only:
        _mount_as_outside(root, path)


def pivot(root: Path) -> None:
    """Make it this process's root, and let go of the one before with all that is mounted there."""
    os.chdir(root)
    # pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one until it is detached.
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir("/")


def _mount_checkout(root: Path, checkout: Path) -> None:
    """An overlay: what tests and Python write beside the sources is gone with the run."""
    for name in ("upper", "work"):
        (root / _OVERLAY / name).mkdir(parents=True)
    target = root / CHECKOUT.relative_to("/")
    target.mkdir(exist_ok=True)
    store = root / _OVERLAY
    mount("checkout", target, "overlay", options=f"lowerdir={checkout},upperdir={store}/upper,workdir={store}/work")


def _mount_as_outside(root: Path, path: Path) -> None:
    target = root / path.resolve().relative_to("/")
    if not target.exists():  # it may lie in a directory that was mounted before
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if path.is_dir() else target.touch()
    mount(str(path.resolve()), target, flags=MountFlag.BIND)
    mount("none", target, flags=MountFlag.BIND | MountFlag.REMOUNT | MountFlag.RDONLY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
