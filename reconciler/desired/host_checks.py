"""What this host cannot provide to a topology: unsupported machines, and networks that conflict. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network

from reconciler.desired.topology_values import LocatedMachine, LocatedValue, TopologyValues
from reconciler.error_codes import ErrorCode
from reconciler.model.host_view import HostView, KnownNetwork, Offer
from reconciler.model.topology import Firmware, VirtType
from reconciler.source.problems import Finding

_OTHER_WORDS = {"host-passthrough": "host", "host-model": "host", "max": "maximum"}
"""QEMU's and libvirt's words for values that `cpu` spells differently."""
_WITHOUT_APIC = frozenset({"486"})
"""QEMU does not start a machine of these with a PCI device, and libvirt offers them all the same."""


def check_host(values: TopologyValues, seen: HostView) -> Iterator[Finding]:
    """Everything in the topology that this host does not support, or that conflicts with others' resources.

    Where there are other hosts, what a machine needs is left to its placement; an unknown CPU model is refused at once.
    """
    for machine in values.machines:
        if seen.others:
            yield from _check_cpu_name(machine, seen)
        else:
            yield from _check_machine(machine, seen)
            yield from _check_memory(machine, seen)
    yield from _check_names(values, seen)
    yield from _check_subnet(values, seen)


def _check_machine(machine: LocatedMachine, seen: HostView) -> Iterator[Finding]:
    wanted = machine.virt_type.value
    if wanted is VirtType.KVM and seen.offers and VirtType.KVM not in seen.offers:
        message = "libvirt has no KVM on this host (write `auto`, or run `host_doctor`)"
        yield Finding(machine.virt_type.location, message, ErrorCode.HOST_CAPABILITY_MISSING)
        return
    offers = _offers(wanted, seen)
    if not offers:
        return
    most = max(offer.max_vcpus for offer in offers.values())
    if machine.vcpus is not None and machine.vcpus.value > most:
        yield Finding(machine.vcpus.location, f"{machine.vcpus.value} exceeds what a machine can have (at most {most})")
    if machine.cpu is not None and (trouble := _cpu_trouble(machine.cpu.value, offers)):
        yield Finding(machine.cpu.location, trouble)
    yield from _check_firmware(machine, offers)


def _check_cpu_name(machine: LocatedMachine, seen: HostView) -> Iterator[Finding]:
    if machine.cpu is not None and seen.offers and (trouble := _cpu_name_trouble(machine.cpu.value, seen.offers)):
        yield Finding(machine.cpu.location, trouble)


def _check_memory(machine: LocatedMachine, seen: HostView) -> Iterator[Finding]:
    """Machines together may exceed the host's memory, as they seldom use all of it; a single one may not."""
    wanted = machine.memory_mb
    if wanted is not None and seen.memory_mb is not None and wanted.value > seen.memory_mb:
        message = f"{wanted.value} MiB is more than this host has, {seen.memory_mb} MiB including swap (lower it)"
        yield Finding(wanted.location, message)


def _check_firmware(machine: LocatedMachine, offers: Mapping[str, Offer]) -> Iterator[Finding]:
    if machine.firmware is None or machine.firmware.value is not Firmware.UEFI:
        return
    if not any(offer.has_uefi for offer in offers.values()):
        message = "libvirt finds no UEFI firmware without Secure Boot on this host (install the package `ovmf`)"
        yield Finding(machine.firmware.location, message, ErrorCode.HOST_CAPABILITY_MISSING)


def _offers(virt_type: VirtType, seen: HostView) -> Mapping[str, Offer]:
    """The offers that a machine may get: with `auto` both, if it is not known which."""
    if virt_type is VirtType.AUTO and seen.kvm_usable is not None:
        virt_type = VirtType.KVM if seen.kvm_usable else VirtType.QEMU
    return {name: offer for name, offer in seen.offers.items() if virt_type in {VirtType.AUTO, name}}


def _cpu_trouble(cpu: str, offers: Mapping[str, Offer]) -> str | None:
    if trouble := _cpu_name_trouble(cpu, offers):
        return trouble
    if any(offer.cpus.get(cpu, False) for offer in offers.values()):
        return None
    if VirtType.QEMU in offers:
        return f"{cpu} needs KVM, and this node is emulated (write `maximum`, or remove `cpu`)"
    return f"this host's processor cannot provide {cpu} (remove `cpu`, or write `virt_type: qemu`)"


def _cpu_name_trouble(cpu: str, offers: Mapping[str, Offer]) -> str | None:
    if cpu in _WITHOUT_APIC:
        return f"{cpu} has no APIC, without which no PCI device works (remove `cpu`)"
    if any(cpu in offer.cpus for offer in offers.values()):
        return None
    known = sorted({name for offer in offers.values() for name, works in offer.cpus.items() if works})
    return f"{cpu} is not a CPU model that libvirt knows ({_another(cpu, known)})"


def _another(cpu: str, known: list[str]) -> str:
    word = _OTHER_WORDS.get(cpu)
    if word in known:
        return f"write `{word}`"
    if cpu in _OTHER_WORDS:
        return "remove `cpu`: everything that can be emulated is the default"
    by_case = {name.casefold(): name for name in known}
    close = get_close_matches(cpu.casefold(), by_case, n=1)
    return f"did you mean {by_case[close[0]]}?" if close else "`virsh cpu-models x86_64` lists them"


def _check_names(values: TopologyValues, seen: HostView) -> Iterator[Finding]:
    own, others = _own(values, seen), _others(values, seen)
    if values.network_name and any(of.name == values.network_name.value for of in others):
        message = (
            f"a libvirt network named {values.network_name.value!r} already exists and is not this cluster's "
            "(choose another name)"
        )
        yield Finding(values.network_name.location, message, ErrorCode.CONFLICT)
    bridge = values.bridge
    if bridge is None or any(of.bridge == bridge.value for of in own):
        return
    if (other := next((of for of in others if of.bridge == bridge.value), None)) is not None:
        message = f"{bridge.value} is the bridge of {_whose(other)} (choose another name)"
        yield Finding(bridge.location, message, ErrorCode.CONFLICT)
    elif bridge.value in seen.interfaces:
        message = f"{bridge.value} is already an interface of this host (choose another name)"
        yield Finding(bridge.location, message, ErrorCode.CONFLICT)


def _check_subnet(values: TopologyValues, seen: HostView) -> Iterator[Finding]:
    """A desired network that already exists is not created, so nothing can conflict with it."""
    subnet = values.subnet
    if subnet is None or any(of.active and subnet.value in of.subnets for of in _own(values, seen)):
        return
    if (whose := _whose_addresses(subnet, values, seen)) is not None:
        free = free_subnet(subnet.value, seen.taken)
        choose = f"choose a free one, such as {free}" if free else "choose a free one"
        yield Finding(subnet.location, f"{subnet.value} overlaps {whose} ({choose})", ErrorCode.CONFLICT)


def _whose_addresses(subnet: LocatedValue[IPv4Network], values: TopologyValues, seen: HostView) -> str | None:
    for network in _others(values, seen):
        for taken in network.subnets:
            if taken.overlaps(subnet.value):
                return f"{taken} of {_whose(network)}"
    bridges = {network.bridge for network in seen.networks}
    for route in seen.routes:
        if route.interface not in bridges and route.takes(subnet.value):
            if route.leads_nowhere:
                return f"{route.subnet}, which this host routes nowhere"
            return f"{route.subnet}, which this host has at {route.interface or 'no interface'}"
    return None


def _whose(network: KnownNetwork) -> str:
    of_cluster = f" of cluster {network.cluster}" if network.cluster else ""
    return f"the libvirt network {network.name}{of_cluster}"


def _own(values: TopologyValues, seen: HostView) -> list[KnownNetwork]:
    return [of for of in seen.networks if of.cluster is not None and of.cluster == values.cluster_name]


def _others(values: TopologyValues, seen: HostView) -> list[KnownNetwork]:
    return [of for of in seen.networks if of.cluster is None or of.cluster != values.cluster_name]


def free_subnet(like: IPv4Network, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """A private subnet of the same size that does not overlap any in use."""
    private, used = IPv4Network("192.168.0.0/16"), list(taken)
    if like.prefixlen < private.prefixlen:
        return None
    candidates = private.subnets(new_prefix=like.prefixlen)
    return next((of for of in candidates if not any(of.overlaps(other) for other in used)), None)
