"""The published cloud images that have a name: where each publisher keeps its image, and the file of checksums. Pure.

All of them boot on x86-64 with BIOS, take their identity from cloud-init, and print to the serial console.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reconciler.errors import closest_name

_UBUNTU = "https://cloud-images.ubuntu.com/releases"
_DEBIAN = "https://cloud.debian.org/images/cloud"
_FEDORA = "https://dl.fedoraproject.org/pub"
_ROCKY = "https://dl.rockylinux.org/pub/rocky"
_ALMA = "https://repo.almalinux.org/almalinux"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A published image: its title, and the addresses of the image and of the checksums beside it."""

    title: str
    url: str
    checksum_url: str


def _beside(title: str, directory: str, image: str, checksums: str) -> CatalogueEntry:
    return CatalogueEntry(title, f"{directory}/{image}", f"{directory}/{checksums}")


def _ubuntu(release: str) -> CatalogueEntry:
    image = f"ubuntu-{release}-server-cloudimg-amd64.img"
    return _beside(f"Ubuntu {release} LTS", f"{_UBUNTU}/{release}/release", image, "SHA256SUMS")


def _debian(release: int, codename: str) -> CatalogueEntry:
    image = f"debian-{release}-generic-amd64.qcow2"
    return _beside(f"Debian {release}", f"{_DEBIAN}/{codename}/latest", image, "SHA512SUMS")


def _fedora(build: str, place: str) -> CatalogueEntry:
    """A release that is no longer maintained moves to the archive."""
    release = build.partition("-")[0]
    directory = f"{_FEDORA}/{place}/linux/releases/{release}/Cloud/x86_64/images"
    image = f"Fedora-Cloud-Base-Generic-{build}.x86_64.qcow2"
    return _beside(f"Fedora {release}", directory, image, f"Fedora-Cloud-{build}-x86_64-CHECKSUM")


def _rocky(release: int) -> CatalogueEntry:
    image = f"Rocky-{release}-GenericCloud-Base.latest.x86_64.qcow2"
    return _beside(f"Rocky Linux {release}", f"{_ROCKY}/{release}/images/x86_64", image, "CHECKSUM")


def _alma(release: int) -> CatalogueEntry:
    image = f"AlmaLinux-{release}-GenericCloud-latest.x86_64.qcow2"
    return _beside(f"AlmaLinux {release}", f"{_ALMA}/{release}/cloud/x86_64/images", image, "CHECKSUM")


CATALOGUE: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        "almalinux-9": _alma(9),
        "debian-12": _debian(12, "bookworm"),
        "debian-13": _debian(13, "trixie"),
        "fedora-41": _fedora("41-1.4", "archive/fedora"),
        "fedora-42": _fedora("42-1.1", "archive/fedora"),
        "fedora-43": _fedora("43-1.6", "fedora"),
        "rocky-9": _rocky(9),
        "ubuntu-22.04": _ubuntu("22.04"),
        "ubuntu-24.04": _ubuntu("24.04"),
    }
)
"""By name."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant, of those in the catalogue and the `known` ones."""
    return closest_name(name, {*CATALOGUE, *known})
