"""Furnish the namespaces that process 1 has opened: files, devices, loopback, then libvirt.

A lab hides all of the host's `/run`. There are the sockets of libvirt, and also of D-Bus: through that one a
libvirtd inside would reach the host's firewalld and machined and change the host. `/sys` is mounted again, so
that `/sys/class/net` shows the lab's interfaces, and without control groups, so that none can be left behind.
"""

import grp
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab import IMAGE_DIR, LAB_ROOT, WORK_DIR
from tests.lab.daemons import DaemonFailed, start_daemons, write_configuration
from tests.lab.mounts import mount, mount_device, mount_private_directory, mount_read_only, mount_tmpfs

PRIVATE_DIRECTORIES = (
    Path("/etc/libvirt"),
    Path("/etc/vmcluster"),
    Path("/var/cache/libvirt"),
    Path("/var/lib/libvirt"),
    Path("/var/lib/vmcluster"),
    Path("/var/log/libvirt"),
)
"""Empty directories of the lab's own: libvirt's, and the defaults of the product's configuration."""

_KVM = Path("/dev/kvm")


def main(arguments: Sequence[str]) -> int:
    """Make the lab ready for its command; non-zero with the cause on stderr when it cannot be."""
    size, image_dir, hosts = arguments
    images = Path(image_dir) if image_dir else None
    try:
        furnish(size, images)
        if hosts == "0":
            start_daemons()
        else:
            _start_hosts(int(hosts), size, images)
    except (OSError, DaemonFailed, subprocess.CalledProcessError) as error:
        print(f"lab: cannot be set up: {error}", file=sys.stderr)
        return 1
    return 0


def furnish(size: str, image_dir: Path | None) -> None:
    """Everything that libvirt and the tests find in place: private directories, devices, loopback."""
    image_fd = os.open(image_dir, os.O_PATH | os.O_DIRECTORY) if image_dir else None
    mount_tmpfs(Path("/run"), size)
    Path("/run/lock").mkdir()  # where libvirt locks serial lines
    for directory in PRIVATE_DIRECTORIES:
        mount_private_directory(directory, LAB_ROOT)
    if image_dir is not None and image_fd is not None:
        for place in {image_dir, IMAGE_DIR}:  # the kernel's files for building modules have absolute paths
            mount_read_only(image_fd, place)
    mount("sysfs", Path("/sys"), "sysfs")
    if _KVM.exists():
        mount_device(_KVM, LAB_ROOT / "devices", _kvm_group())
    for name in ("home", "tmp"):
        (WORK_DIR / name).mkdir(parents=True, exist_ok=True)  # the image directory may lie below
    (WORK_DIR / "tmp").chmod(0o1777)
    write_configuration()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _start_hosts(count: int, size: str, image_dir: Path | None) -> None:
    """Start hosts that stay when this process ends: they go with the lab."""
    from tests.lab.hosts import note, start_hosts  # as a lab of one host needs nothing of the package

    directory = WORK_DIR / "hosts"
    directory.mkdir()
    note(start_hosts(count, directory, image_dir, size))


def _kvm_group() -> int | None:
    try:
        return grp.getgrnam("kvm").gr_gid
    except KeyError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
