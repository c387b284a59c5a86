"""Checks the directories, the key and the image that clusters need."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.files.exposure import exposure_of
from reconciler.files.ownership import ATTRIBUTE
from reconciler.host.file_access import closed_directory
from reconciler.host.virt_type.kvm_access import qemu_account
from reconciler.model.account import Account
from reconciler.model.examination import CheckResult, failed, ok, warning
from reconciler.model.names import image_name

_ENOUGH_BYTES = 5 * 1024**3
_TOO_LITTLE_BYTES = 512 * 1024**2


@dataclass(frozen=True, slots=True)
class RequiredDirectory:
    """A directory that must exist, and the mode it is created with.

    QEMU's user opens the contents of one `for_machines`. One that is not `written` is only read: it may be shared.
    """

    path: Path
    mode: int
    for_machines: bool = False
    written: bool = True


def check_places(places: Sequence[RequiredDirectory]) -> list[CheckResult]:
    """Whether all directories exist and can be used for their purpose; the first problem of each."""
    account = qemu_account()
    checks: tuple[Callable[[RequiredDirectory], CheckResult | None], ...] = (
        _missing,
        _exposed,
        _not_writable,
        _without_marks,
        _without_space,
        lambda place: _closed_to(account, place),
    )
    found = [next(filter(None, (check(place) for check in checks)), None) for place in places]
    wrong = [result for result in found if result is not None]
    return wrong or [ok("directories", f"all {len(places)} exist and are usable")]


def check_ssh_key(path: Path) -> CheckResult:
    """Whether the key for logging in to nodes exists, and is readable and private."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return failed("ssh key", f"{path} does not exist", f"`ssh-keygen -t ed25519 -N '' -f {path}`", fixable=True)
    except PermissionError:
        return failed("ssh key", f"this user may not access {path}", "run as root, or set `ssh_key_path`")
    if mode & 0o077:
        return failed("ssh key", f"{path} is readable by others (mode {mode:04o})", f"`chmod 0600 {path}`")
    if not os.access(path, os.R_OK):
        return failed("ssh key", f"this user may not read {path}", "run as its owner, or set `ssh_key_path`")
    return ok("ssh key", str(path))


def check_image(path: Path) -> CheckResult:
    """Whether there is a guest image where the example topologies expect it, or another one beside it."""
    if path.is_file():
        return ok("guest image", f"{path}, {path.stat().st_size / 1024**2:.0f} MiB")
    if others := sorted(filter(None, map(image_name, path.parent.glob("*.qcow2")))):
        return ok("guest image", f"{', '.join(others)} in {path.parent}")
    return warning("guest image", f"{path} does not exist", "`image_build` creates it")


def _missing(place: RequiredDirectory) -> CheckResult | None:
    if place.path.is_dir():
        return None
    if place.path.exists():
        return failed(_name(place), "is not a directory", "move that file away, or set another directory")
    command = f"`install -d -m {place.mode:04o} {place.path}`"
    return failed(_name(place), "does not exist", command, fixable=True)


def _exposed(place: RequiredDirectory) -> CheckResult | None:
    if (exposure := exposure_of(place.path)) is None:
        return None
    return failed(_name(place), f"is not used: {exposure}", f"`{exposure.command}`, or set another directory")


def _not_writable(place: RequiredDirectory) -> CheckResult | None:
    if not place.written or os.access(place.path, os.R_OK | os.W_OK | os.X_OK):
        return None
    return failed(_name(place), "this user may not write there", "run as root, or set another directory")


def _without_marks(place: RequiredDirectory) -> CheckResult | None:
    if not (place.for_machines and place.written):
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=place.path, prefix=".vmcluster-check-") as file:
            os.setxattr(file.fileno(), ATTRIBUTE, b"check")
    except OSError as error:
        return failed(
            _name(place),
            f"files there cannot carry our mark, a user extended attribute: {error.strerror}",
            "choose a directory on ext4, xfs, btrfs or zfs (on tmpfs: Linux 6.6 or newer)",
        )
    return None


def _without_space(place: RequiredDirectory) -> CheckResult | None:
    free_bytes = shutil.disk_usage(place.path).free
    if not place.written or free_bytes >= _ENOUGH_BYTES:
        return None
    say = warning if free_bytes >= _TOO_LITTLE_BYTES else failed
    return say(_name(place), f"only {free_bytes / 1024**3:.1f} GiB are free", "free some space on that file system")


def _closed_to(account: Account | None, place: RequiredDirectory) -> CheckResult | None:
    """QEMU opens disks by their path: its user must be able to enter each directory above them."""
    if account is None or not place.for_machines:
        return None
    if (closed := closed_directory(account, place.path)) is None:
        return None
    return warning(
        _name(place),
        f"QEMU's user {account.name} cannot enter {closed}, so no machine can open its disk",
        f"`chmod o+x {closed}`, or choose a directory outside of it",
    )


def _name(place: RequiredDirectory) -> str:
    return f"directory {place.path}"
