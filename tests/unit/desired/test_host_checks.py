"""What a host refuses of a topology, from one look at it."""

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, HostCapabilityMissing, ImageNotFound, TopologyInvalid
from reconciler.model.host_view import HostView, KnownNetwork, Offer, Route

from .conftest import TOPOLOGY
from .files import settings_in

NET = IPv4Network("10.7.0.0/24")
OWN = KnownNetwork("labnet", "virbr-lab", (NET,), "lab", active=True)
THEIRS = KnownNetwork("default", "virbr0", (IPv4Network("192.168.122.0/24"),), None, active=True)
EMULATED = Offer(255, {"host": False, "maximum": True, "qemu64": True, "Haswell-noTSX": True})
BY_KVM = Offer(240, {"host": True, "maximum": True, "qemu64": False, "Haswell-noTSX": True})
SEEN = HostView(
    {"qemu": EMULATED, "kvm": BY_KVM},
    (THEIRS,),
    (Route(IPv4Network("10.1.0.0/16"), "eth0"),),
    frozenset({"lo", "eth0", "virbr0"}),
    kvm_usable=False,
)


def refusal(host: Path, text: str, seen: HostView) -> str:
    """What is said of a topology, without the place of its file; empty where it is accepted."""
    path = host / "lab.yaml"
    path.write_text(text)
    try:
        load_spec(path, settings_in(host), seen=seen)
    except (TopologyInvalid, Conflict, HostCapabilityMissing, ImageNotFound) as error:
        return str(error).replace(f"{path}:", "")
    return ""


@pytest.mark.parametrize(
    ("cpu", "virt_type", "kvm_usable", "said"),
    [
        ("host-passthrough", "qemu", None, "not a CPU model that libvirt knows (remove `cpu`"),
        ("host-passthrough", "kvm", None, "not a CPU model that libvirt knows (write `host`)"),
        ("host-model", "auto", True, "not a CPU model that libvirt knows (write `host`)"),
        ("max", "auto", None, "not a CPU model that libvirt knows (write `maximum`)"),
        ("haswell-notsx", "auto", None, "did you mean Haswell-noTSX?"),
        ("Z80", "auto", None, "`virsh cpu-models x86_64` lists them"),
        ('"486"', "auto", None, "486 has no APIC"),
        ("host", "qemu", None, "host needs KVM, and this node is emulated (write `maximum`"),
        ("host", "auto", False, "host needs KVM"),
        ("qemu64", "kvm", None, "this host's processor cannot provide qemu64"),
        ("host", "auto", True, ""),
        ("host", "auto", None, ""),
        ("qemu64", "auto", None, ""),
        ("maximum", "qemu", None, ""),
        ("Haswell-noTSX", "kvm", None, ""),
    ],
)
def test_a_cpu_is_one_that_machines_of_that_kind_can_have(
    host: Path, cpu: str, virt_type: str, kvm_usable: bool | None, said: str
) -> None:
    seen = replace(SEEN, kvm_usable=kvm_usable)
    for_all = refusal(host, f"cpu: {cpu}\nvirt_type: {virt_type}\n{TOPOLOGY}", seen)
    its_own = f"ip: 10.7.0.10, cpu: {cpu}, virt_type: {virt_type}"
    of_node = refusal(host, TOPOLOGY.replace("ip: 10.7.0.10", its_own), seen)
    assert said in for_all
    assert bool(for_all) is bool(said)
    assert not said or for_all.startswith("1:6: cpu:")
    assert of_node == for_all.replace("1:6: cpu:", "5:61: nodes[0].cpu:")


@pytest.mark.parametrize(
    ("vcpus", "virt_type", "most"),
    [(255, "qemu", None), (256, "qemu", 255), (241, "kvm", 240), (241, "auto", None), (512, "auto", 255)],
)
def test_a_machine_has_no_more_cpus_than_libvirt_can_give_it(
    host: Path, vcpus: int, virt_type: str, most: int | None
) -> None:
    said = refusal(host, f"virt_type: {virt_type}\n{TOPOLOGY}".replace("vcpus: 1", f"vcpus: {vcpus}"), SEEN)
    assert said == (f"6:22: nodes[0].vcpus: {vcpus} exceeds what a machine can have (at most {most})" if most else "")


@pytest.mark.parametrize(
    ("memory_mb", "of_host", "is_refused"),
    [(24000, 24000, False), (24001, 24000, True), (16777216, 24000, True), (16777216, None, False)],
)
def test_one_machine_alone_has_no_more_memory_than_the_host(
    host: Path, memory_mb: int, of_host: int | None, is_refused: bool
) -> None:
    text = TOPOLOGY.replace("memory_mb: 512", f"memory_mb: {memory_mb}")
    without_libvirt = replace(SEEN, offers={}, memory_mb=of_host)
    said = f"5:36: nodes[0].memory_mb: {memory_mb} MiB is more than this host has, 24000 MiB including swap (lower it)"
    for seen in (without_libvirt, replace(SEEN, memory_mb=of_host)):
        assert refusal(host, text, seen) == (said if is_refused else "")


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ("memory_mb: 900000", ""),
        ("memory_mb: 512, virt_type: kvm", ""),
        ("memory_mb: 512, cpu: host", ""),
        ("memory_mb: 512, firmware: uefi", ""),
        ('memory_mb: 512, cpu: "486"', "486 has no APIC"),
        ("memory_mb: 512, cpu: Z80", "Z80 is not a CPU model that libvirt knows"),
    ],
)
def test_what_another_host_may_have_is_not_refused_for_this_one(host: Path, node: str, said: str) -> None:
    text = TOPOLOGY.replace("memory_mb: 512", node)
    seen = replace(SEEN, offers={"qemu": EMULATED}, memory_mb=24000)
    found = refusal(host, text, replace(seen, others={"other": frozenset()}))
    assert said in found if said else not found
    assert refusal(host, text, seen), "where there is only this one"


def test_an_image_that_only_another_host_has_is_said_to_be_there(host: Path) -> None:
    image = host / "base.qcow2"
    seen = replace(SEEN, others={"b": frozenset({image}), "c": frozenset()})
    assert refusal(host, TOPOLOGY, seen) == ""
    image.unlink()
    said = "base.qcow2 is not on this host; b has it (run this there, or copy it from there to the same path)"
    assert said in refusal(host, TOPOLOGY, seen)
    assert "cannot read the disk image" in refusal(host, TOPOLOGY, SEEN)


def test_machines_may_have_more_memory_together_than_the_host(host: Path) -> None:
    second = "  - {name: b, vcpus: 1, memory_mb: 512, ip: 10.7.0.11}\n"
    assert refusal(host, TOPOLOGY + second, replace(SEEN, memory_mb=600)) == ""


@pytest.mark.parametrize("kvm_usable", [True, False, None])
def test_a_host_without_uefi_says_which_package_brings_it(host: Path, kvm_usable: bool | None) -> None:
    lacking = replace(SEEN, kvm_usable=kvm_usable)
    having = replace(lacking, offers={name: replace(of, has_uefi=True) for name, of in SEEN.offers.items()})
    message = "libvirt finds no UEFI firmware without Secure Boot on this host (install the package `ovmf`)"
    for_all, of_node = f"firmware: uefi\n{TOPOLOGY}", TOPOLOGY.replace("vcpus: 1", "vcpus: 1, firmware: uefi")
    assert refusal(host, for_all, lacking) == f"1:11: firmware: {message}"
    assert "nodes[0].firmware: libvirt finds no UEFI" in refusal(host, of_node, lacking)
    assert [refusal(host, text, having) for text in (for_all, of_node)] == ["", ""]
    assert refusal(host, for_all.replace("uefi", "bios"), lacking) == ""


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(SEEN, networks=(THEIRS, OWN)), ""),
        (
            replace(SEEN, networks=(replace(OWN, name="other", bridge="virbr9", cluster="other"),)),
            "3:52: network.subnet: 10.7.0.0/24 overlaps 10.7.0.0/24 of the libvirt network other of cluster other",
        ),
        (
            replace(SEEN, networks=(replace(THEIRS, subnets=(IPv4Network("10.7.0.128/25"),), active=False),)),
            "network.subnet: 10.7.0.0/24 overlaps 10.7.0.128/25 of the libvirt network default (",
        ),
        (
            replace(SEEN, routes=(Route(IPv4Network("10.0.0.0/8"), "wg0"),)),
            "10.0.0.0/8, which this host has at wg0 (choose a free one, such as 192.168.0.0/24)",
        ),
        (
            replace(SEEN, routes=(Route(IPv4Network("10.7.0.0/25"), "", leads_nowhere=True),)),
            "10.7.0.0/24 overlaps 10.7.0.0/25, which this host routes nowhere (choose",
        ),
        (replace(SEEN, routes=(Route(IPv4Network("10.0.0.0/8"), "", leads_nowhere=True),)), ""),
        (replace(SEEN, networks=(OWN,), routes=(Route(NET, "virbr-lab"),), interfaces=frozenset({"virbr-lab"})), ""),
        (
            replace(SEEN, interfaces=frozenset({"virbr-lab"})),
            "network.bridge: virbr-lab is already an interface of this host",
        ),
        (
            replace(SEEN, networks=(replace(THEIRS, bridge="virbr-lab"),)),
            "network.bridge: virbr-lab is the bridge of the libvirt network default (choose",
        ),
        (
            replace(SEEN, networks=(replace(THEIRS, name="labnet"),)),
            "network.name: a libvirt network named 'labnet' already exists and is not this cluster's",
        ),
    ],
)
def test_names_and_addresses_of_others_are_left_to_them(host: Path, seen: HostView, said: str) -> None:
    assert said in refusal(host, TOPOLOGY, seen)
    assert bool(refusal(host, TOPOLOGY, seen)) is bool(said)


def test_what_others_have_is_a_conflict_and_all_is_said_at_once(host: Path) -> None:
    path = host / "lab.yaml"
    path.write_text(TOPOLOGY)
    taken = replace(OWN, cluster=None)
    with pytest.raises(Conflict) as refused:
        load_spec(path, settings_in(host), seen=replace(SEEN, networks=(taken,)))
    assert str(refused.value).startswith("3 problems in ")
    path.write_text(TOPOLOGY.replace("vcpus: 1", "vcpus: 400"))
    with pytest.raises(TopologyInvalid, match="4 problems in ") as mixed:
        load_spec(path, settings_in(host), seen=replace(SEEN, networks=(taken,)))
    assert mixed.value.code is ErrorCode.TOPOLOGY_INVALID
