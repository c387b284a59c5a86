"""Which Linux distribution this host runs, and the commands that install what clusters need there.

Debian and Ubuntu are what vmcluster is tested on. The names of packages elsewhere are those of Fedora 43, Arch Linux
and openSUSE Leap 16 in 2026.
"""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from reconciler.errors import HostCommandFailed
from reconciler.host.checks.required_programs import PROGRAMS, Program, install_command
from reconciler.model.examination import MissingPackages
from reconciler.process import run
from reconciler.programs import find_program, proxies

OS_RELEASE = Path("/etc/os-release")

_INSTALL_TIMEOUT_S = 1800.0


class LinuxFamily(StrEnum):
    """A family of distributions with the same package manager."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    ARCH = "arch"
    SUSE = "suse"
    OTHER = "other"


_FAMILIES = {
    "debian": LinuxFamily.DEBIAN,
    "ubuntu": LinuxFamily.DEBIAN,
    "fedora": LinuxFamily.FEDORA,
    "rhel": LinuxFamily.FEDORA,
    "centos": LinuxFamily.FEDORA,
    "arch": LinuxFamily.ARCH,
    "suse": LinuxFamily.SUSE,
    "opensuse": LinuxFamily.SUSE,
}

_COMMANDS: Mapping[LinuxFamily, Sequence[str]] = {
    LinuxFamily.FEDORA: (
        "dnf install libvirt-daemon-kvm libvirt-client qemu-kvm qemu-img edk2-ovmf dnsmasq iproute-tc nftables rsync",
        "systemctl enable --now virtqemud.socket virtnetworkd.socket virtlogd.socket",
    ),
    LinuxFamily.ARCH: (
        "pacman -S --needed libvirt qemu-base edk2-ovmf dnsmasq nftables openssh rsync",
        "systemctl enable --now libvirtd.socket virtlogd.socket",
    ),
    LinuxFamily.SUSE: (
        "zypper install libvirt-daemon-qemu libvirt-client qemu-x86 qemu-tools qemu-ovmf-x86_64 dnsmasq nftables rsync",
        "systemctl enable --now virtqemud.socket virtnetworkd.socket virtlogd.socket",
    ),
}


def distribution_of(os_release: str) -> LinuxFamily:
    """The family that an os-release(5) file names: by what it is, or else by what it is like."""
    pairs = (line.partition("=") for line in os_release.splitlines())
    fields = {name.strip(): value.strip().strip("\"'").lower() for name, _equals, value in pairs}
    words = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    stems = (word.partition("-")[0] for word in words)
    return next((_FAMILIES[stem] for stem in stems if stem in _FAMILIES), LinuxFamily.OTHER)


def this_distribution() -> LinuxFamily:
    """The family of this host's distribution. Blocking."""
    try:
        return distribution_of(OS_RELEASE.read_text(errors="replace"))
    except OSError:
        return LinuxFamily.OTHER


def missing_packages(distribution: LinuxFamily, programs: Sequence[Program] = PROGRAMS) -> MissingPackages:
    """What is missing on this host. Blocking."""
    missing = [program for program in programs if find_program(program.name) is None]
    essential = any(program.needed_for is None for program in missing)
    if not missing:
        return MissingPackages()
    if distribution is LinuxFamily.DEBIAN:
        return MissingPackages(commands=(install_command(missing),), essential=essential, runs_here=os.geteuid() == 0)
    names = " ".join(sorted({program.name for program in missing}))
    return MissingPackages(
        commands=tuple(_COMMANDS.get(distribution, (f"# install what provides {names}",))), essential=essential
    )


async def install_debian_packages(command: str) -> None:
    """Run a command of `missing_packages` for Debian, as root. Raises `HostCommandFailed`."""
    first, *words = command.split()
    env = {**proxies(), "DEBIAN_FRONTEND": "noninteractive"}
    try:
        await run([first, "-y", "-q", *words], timeout_s=_INSTALL_TIMEOUT_S, env=env)
    except HostCommandFailed as error:
        raise HostCommandFailed(error.message, hint="`apt-get update`, if the package lists are old") from error
