"""What a lab's file tree is made of: mounts that exist in its own mount namespace only.

Python has no `mount`, and mount(8) keeps notes in `/run`: the system call is called directly (mount(2)).
"""

import ctypes
import os
import re
import stat
from enum import IntFlag
from pathlib import Path

_MOUNTINFO_MOUNT_POINT = 4
_libc = ctypes.CDLL(None, use_errno=True)


class MountFlag(IntFlag):
    """Flags of mount(2), as in `linux/mount.h`."""

    NONE = 0
    RDONLY = 1
    NOSUID = 2
    REMOUNT = 32
    BIND = 4096
    REC = 16384


def mount(source: str, target: Path, kind: str = "", flags: MountFlag = MountFlag.NONE, options: str = "") -> None:
    """mount(2); raises `OSError` naming the target."""
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot mount {kind or 'a bind mount'}: {os.strerror(code)}", str(target))


def mount_tmpfs(target: Path, size: str) -> None:
    """A file system in memory of at most `size` on `target`; device nodes on it work."""
    mount("vmcluster-lab", target, "tmpfs", MountFlag.NOSUID, f"size={size},mode=0755")


def mount_private_directory(target: Path, store: Path, mode: int = 0o755) -> None:
    """An empty directory of the lab's own over `target`, which need not exist; its contents are kept in `store`.

    The mount point of a directory that the host does not have is made in an overlay over its parent.
    """
    if not target.is_dir():
        _mount_overlay(target.parent, store / "overlay")
        target.mkdir()
    source = _store_directory(store / "private", target)
    source.chmod(mode)
    mount(str(source), target, flags=MountFlag.BIND)


def mount_read_only(source_fd: int, target: Path) -> None:
    """The directory behind `source_fd`, read-only at `target`, also where a later mount has hidden it."""
    target.mkdir(parents=True, exist_ok=True)
    mount(f"/proc/self/fd/{source_fd}", target, flags=MountFlag.BIND)
    mount("none", target, flags=MountFlag.BIND | MountFlag.REMOUNT | MountFlag.RDONLY)


def mount_device(device: Path, store: Path, group: int | None) -> None:
    """A device node of the lab's own over `device`: mode 0660 for `group`, or 0666 without one."""
    node = _store_directory(store, device.parent) / device.name
    os.mknod(node, stat.S_IFCHR, device.stat().st_rdev)
    node.chmod(0o666 if group is None else 0o660)
    if group is not None:
        os.chown(node, 0, group)
    mount(str(node), device, flags=MountFlag.BIND)


def _mount_overlay(directory: Path, store: Path) -> None:
    """Make all further writes below `directory` private; what is mounted below it stays visible."""
    submounts = {path: os.open(path, os.O_PATH) for path in _mount_points_below(directory)}
    upper, work = _store_directory(store / "upper", directory), _store_directory(store / "work", directory)
    mount("overlay", directory, "overlay", options=f"lowerdir={directory},upperdir={upper},workdir={work}")
    for path, fd in submounts.items():
        mount(f"/proc/self/fd/{fd}", path, flags=MountFlag.BIND | MountFlag.REC)
        os.close(fd)


def _mount_points_below(directory: Path) -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {_unescape(line.split()[_MOUNTINFO_MOUNT_POINT]) for line in lines}
    below = sorted(point for point in points if directory in point.parents)
    return [point for point in below if not any(other in point.parents for other in below)]


def _unescape(field: str) -> Path:
    """A path as proc(5) writes it, with white space as `\\040` and the like."""
    return Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field))


def _store_directory(store: Path, path: Path) -> Path:
    directory = store / path.relative_to("/")
    directory.mkdir(parents=True)
    return directory
