"""The programs that we or libvirt call, and the Debian and Ubuntu packages that provide them."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.examination import CheckResult, failed, ok, warning
from reconciler.programs import find_program


@dataclass(frozen=True, slots=True)
class Program:
    """A program, its package, and what cannot be done without it; None if no cluster runs without it."""

    name: str
    package: str
    needed_for: str | None = None


PROGRAMS: Sequence[Program] = (
    Program("libvirtd", "libvirt-daemon-system"),
    Program("virtlogd", "libvirt-daemon-system"),
    Program("qemu-system-x86_64", "qemu-system-x86"),
    Program("qemu-img", "qemu-utils"),
    Program("ip", "iproute2"),
    Program("iptables", "iptables", "networks with `forward: nat`, and partitions where nft does not work"),
    Program("dnsmasq", "dnsmasq-base", "names of nodes on the host's bridge"),
    Program("ssh", "openssh-client", "`vmcluster ssh`"),
    Program("rsync", "rsync", "sending artifacts to nodes"),
    Program("tc", "iproute2", "network impairments"),
    Program("nft", "nftables", "network partitions"),
    Program("mmdebstrap", "mmdebstrap", "`image_build`"),
    Program("mke2fs", "e2fsprogs", "`image_build`"),
)

FIRMWARE_DIRECTORIES = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))


def check_programs(programs: Sequence[Program] = PROGRAMS) -> list[CheckResult]:
    """One result for everything that clusters need, and one for what single features need."""
    missing = [program for program in programs if find_program(program.name) is None]
    essential = [program for program in missing if program.needed_for is None]
    optional = [program for program in missing if program.needed_for is not None]
    return [
        failed("programs", f"not installed: {_names(essential)}", install_command(essential))
        if essential
        else ok("programs", "everything needed to run machines is installed"),
        warning("optional programs", f"not installed: {_names_with_use(optional)}", install_command(optional))
        if optional
        else ok("optional programs", "everything needed by single features is installed"),
    ]


def check_firmware(directories: Iterable[Path] = FIRMWARE_DIRECTORIES) -> CheckResult:
    """Whether libvirt finds UEFI firmware for machines: a description as in QEMU's docs/interop/firmware.json."""
    found = (file for directory in directories if directory.is_dir() for file in directory.glob("*.json"))
    if any(_describes_uefi(file) for file in found):
        return ok("UEFI", "firmware for `firmware: uefi` is installed")
    return warning(
        "UEFI", "no firmware for `firmware: uefi` is installed", "apt-get install --no-install-recommends ovmf"
    )


def _describes_uefi(file: Path) -> bool:
    with suppress(OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
        described = json.loads(file.read_bytes())
        for_us = any(target["architecture"] == "x86_64" for target in described["targets"])
        return "uefi" in described["interface-types"] and for_us
    return False


def install_command(programs: Iterable[Program]) -> str:
    """The command that installs the packages of `programs` on Debian and Ubuntu."""
    packages = sorted({program.package for program in programs})
    return f"apt-get install --no-install-recommends {' '.join(packages)}"


def _names(programs: Iterable[Program]) -> str:
    return ", ".join(program.name for program in programs)


def _names_with_use(programs: Iterable[Program]) -> str:
    return "; ".join(f"{program.name} (for {program.needed_for})" for program in programs)
