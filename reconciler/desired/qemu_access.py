"""Files of a topology that the user that libvirt runs QEMU as cannot open."""

from collections.abc import Iterator
from pathlib import Path

from reconciler.desired.topology_values import TopologyValues
from reconciler.error_codes import ErrorCode
from reconciler.host.file_access import closed_directory, may_read
from reconciler.model.account import Account
from reconciler.source.problems import Finding, Location


def check_qemu_access(values: TopologyValues, account: Account) -> Iterator[Finding]:
    """Every file that QEMU's user cannot reach, and images that it cannot read. Blocking.

    libvirt gives all other files to that user when a machine starts. Images and kernels that are missing, or that this
    process cannot reach itself, are not reported here.
    """
    for file in (*values.images, *values.boot_files):
        if not _is_there(file.value):
            continue
        closed = _why_closed(file.value, account)
        if closed is None and file in values.images:
            closed = _why_unreadable(file.value, account)
        if closed is not None:
            yield Finding(file.location, closed, ErrorCode.IMAGE_NOT_FOUND)
    for disk in values.disks:
        if disk.path is not None and (closed := _why_closed(disk.path, account)):
            location: Location = (*disk.location, "path")
            yield Finding(location, closed)
    if values.overlay_dir is not None and (closed := _why_closed(values.overlay_dir / "layer", account)):
        yield Finding(("overlay_dir",), closed)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _why_closed(path: Path, account: Account) -> str | None:
    """Which directory keeps the user from a file; links are followed."""
    try:
        directory = closed_directory(account, path.resolve().parent)
    except (OSError, RuntimeError):
        return None
    if directory is None:
        return None
    return (
        f"{path} cannot be opened by QEMU's user {account.name}, which cannot enter {directory} "
        f"(`chmod o+x {directory}`, or use a path outside of it)"
    )


def _why_unreadable(path: Path, account: Account) -> str | None:
    try:
        readable = may_read(account, path)
    except OSError:
        return None
    return None if readable else f"{path} cannot be read by QEMU's user {account.name} (`chmod o+r {path}`)"
