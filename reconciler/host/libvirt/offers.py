"""What libvirt offers to machines, and which networks of any owner it has."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import libvirt

from reconciler.host.libvirt.mark import parse_network_mark
from reconciler.host.libvirt.xml import parse_element
from reconciler.host.virt_type.kvm_access import account_of
from reconciler.model.account import Account
from reconciler.model.host_view import KnownNetwork, Offer
from reconciler.model.topology import VirtType

_MACHINE, _ARCHITECTURE = "q35", "x86_64"
_MAX_VCPUS_WITHOUT_IOMMU = 255  # libvirt 9.0: more "require extended interrupt mode enabled on the iommu device"
_USER_AND_GROUP = re.compile(r"\+(\d+):\+(\d+)")
_WORDS = {"host-passthrough": "host", "maximum": "maximum"}
"""libvirt's name for each mode of `cpu`."""


def offers_of(handle: Any) -> dict[str, Offer]:
    """What machines can have, by `virt_type`; types that this host lacks are left out."""
    found = {}
    for virt_type in (VirtType.QEMU, VirtType.KVM):
        try:
            xml = handle.getDomainCapabilities(None, _ARCHITECTURE, _MACHINE, virt_type.value, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}:
                raise
            continue
        found[virt_type.value] = parse_offer(xml, emulated=virt_type is VirtType.QEMU)
    return found


def qemu_account_of(handle: Any) -> Account | None:
    """The account that libvirt runs QEMU as; None if it is libvirt's own, or cannot be determined."""
    user = parse_qemu_user(handle.getCapabilities())
    return None if user is None else account_of(*user)


def networks_of(handle: Any) -> tuple[KnownNetwork, ...]:
    """Every network."""
    seen = (_look_at(network) for network in handle.listAllNetworks())
    return tuple(network for network in seen if network is not None)


def parse_offer(xml: str, *, emulated: bool) -> Offer:
    """Parse an offer, from libvirt.org/formatdomaincaps.html.

    libvirt emulates every model that it knows, without the features that cannot be emulated (seen with 9.0.0).
    """
    root = parse_element(xml)
    vcpu = root.find("vcpu")
    limit = _MAX_VCPUS_WITHOUT_IOMMU if vcpu is None else int(vcpu.get("max", _MAX_VCPUS_WITHOUT_IOMMU))
    modes = {mode.get("name", ""): mode.get("supported") == "yes" for mode in root.findall("cpu/mode")}
    models = root.findall("cpu/mode[@name='custom']/model")
    return Offer(
        max_vcpus=min(limit, _MAX_VCPUS_WITHOUT_IOMMU),
        cpus={
            **{word: modes.get(mode, False) for mode, word in _WORDS.items()},
            **{model.text or "": emulated or model.get("usable") != "no" for model in models},
        },
        has_uefi="efi" in [value.text for value in root.findall("os/enum[@name='firmware']/value")],
    )


def parse_qemu_user(xml: str) -> tuple[str, str] | None:
    """Parse the numbers of QEMU's user and group, from libvirt.org/formatcaps.html; None if libvirt sets neither."""
    label = parse_element(xml).findtext("host/secmodel[model='dac']/baselabel", "")
    found = _USER_AND_GROUP.fullmatch(label)
    return None if found is None else (found[1], found[2])


def parse_known_network(xml: str, *, active: bool) -> KnownNetwork:
    """Parse a network of any owner, from libvirt.org/formatnetwork.html."""
    root = parse_element(xml)
    bridge, mark = root.find("bridge"), parse_network_mark(root.find("metadata"))
    return KnownNetwork(
        name=root.findtext("name", ""),
        bridge=None if bridge is None else bridge.get("name"),
        subnets=tuple(_subnets(root)),
        cluster=None if mark is None else mark.cluster,
        active=active,
    )


def _subnets(root: Any) -> Iterator[IPv4Network]:
    for ip in root.findall("ip"):
        size = ip.get("prefix") or ip.get("netmask")
        if ip.get("family", "ipv4") == "ipv4" and ip.get("address") and size:
            yield IPv4Interface(f"{ip.get('address')}/{size}").network


def _look_at(network: Any) -> KnownNetwork | None:
    try:
        return parse_known_network(network.XMLDesc(0), active=bool(network.isActive()))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:  # deleted since it was listed
            return None
        raise
