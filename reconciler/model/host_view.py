"""What a topology is checked against on a host besides files: libvirt's capabilities and the existing networks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from reconciler.model.account import Account
from reconciler.model.file_use import FileUse


@dataclass(frozen=True, slots=True)
class Offer:
    """What machines of one `virt_type` can have; `cpus` maps each accepted value of `cpu` to whether it works here."""

    max_vcpus: int
    cpus: Mapping[str, bool]
    has_uefi: bool = False


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A libvirt network of any owner; `cluster` is the one in its mark."""

    name: str
    bridge: str | None
    subnets: tuple[IPv4Network, ...]
    cluster: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Addresses that the host reaches, or owns, through an interface; or that lead nowhere, as in a `blackhole`."""

    subnet: IPv4Network
    interface: str
    leads_nowhere: bool = False

    def takes(self, subnet: IPv4Network) -> bool:
        """Whether a network of that subnet would not work; it goes before a wider route that leads nowhere."""
        return self.subnet.subnet_of(subnet) if self.leads_nowhere else self.subnet.overlaps(subnet)


@dataclass(frozen=True, slots=True)
class HostView:
    """One look at a host; None means not known.

    `offers` are by `virt_type`; `kvm_usable` decides what `auto` means; `memory_mb` is RAM and swap together.
    `files` are those of libvirt's machines. `qemu` is the account that opens the files of new ones. `others` are the
    hosts besides this one that nodes may be placed on, with the images that they have.
    """

    offers: Mapping[str, Offer]
    networks: tuple[KnownNetwork, ...]
    routes: tuple[Route, ...]
    interfaces: frozenset[str]
    kvm_usable: bool | None = None
    memory_mb: int | None = None
    files: tuple[FileUse, ...] = ()
    qemu: Account | None = None
    others: Mapping[str, frozenset[Path]] = field(default_factory=dict)

    @property
    def taken(self) -> Iterable[IPv4Network]:
        """All addresses already in use."""
        yield from (subnet for network in self.networks for subnet in network.subnets)
        yield from (route.subnet for route in self.routes if not route.leads_nowhere)
