"""Domains to libvirt's XML and back, also as libvirt prints it, and as people change it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.libvirt.domain_xml import DomainRecord, domain_mark, parse_domain, render_disk, render_domain
from reconciler.model.document import BackingFile, DirectBoot, Domain, DomainDisk
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus, Firmware
from tests.unit.host.libvirt.samples import DOMAINS, PLAIN, SAMPLE_CLUSTER

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_PLAIN = (GOLDEN / "domain-plain.libvirt-9.0.0.xml").read_text()

# What XML 1.0 can hold: neither control characters nor surrogates nor the two non-characters.
words = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=40)
paths = st.from_regex(r"/[a-z0-9 &<>\"'.ü-]{1,30}", fullmatch=True).map(Path)
names_ = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", fullmatch=True)
formats = st.sampled_from(["qcow2", "raw"])
backings = st.lists(st.builds(BackingFile, path=paths, format=formats), max_size=4).map(tuple)
disks = st.builds(
    DomainDisk,
    path=paths,
    format=formats,
    bus=st.sampled_from(DiskBus),
    backing=backings,
    read_only=st.booleans(),
    shared=st.booleans(),
)
domains = st.builds(
    Domain,
    uuid=st.uuids().map(str),
    role=words,
    vcpus=st.integers(1, 512),
    memory_mb=st.integers(64, 2**24),
    virt_type=st.sampled_from(["kvm", "qemu"]),
    cpu=st.sampled_from(["host", "maximum", "Nehalem", "EPYC-Rome"]),
    disks=st.dictionaries(st.from_regex(r"vd[a-z]", fullmatch=True), disks, max_size=5),
    network=names_,
    mac=st.just("52:00:00:00:00:01"),
    tap=names_,
    console=paths,
    firmware=st.sampled_from(Firmware),
    video=st.booleans(),
    boot=st.none() | st.builds(DirectBoot, kernel=paths, initrd=st.none() | paths, cmdline=words),
    boot_files=st.sampled_from(["", "1:2 3:4"]),
    template=st.integers(0, 99),
)
epochs = st.builds(Epochs, boot=st.integers(0, 2**31), resume=st.integers(0, 2**31))


def expected(node: str, domain: Domain, done: Epochs) -> DomainRecord:
    return DomainRecord(domain, domain_mark(SAMPLE_CLUSTER, node, domain, done))


@given(domains, epochs)
def test_what_is_rendered_is_read_back(domain: Domain, done: Epochs) -> None:
    record = parse_domain(render_domain(SAMPLE_CLUSTER, "n", domain, done))
    assert record == expected("n", domain, done)
    assert record is not None
    assert record.carried_out == done


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("domain-*.xml")), ids=lambda path: path.stem)
def test_what_libvirt_adds_changes_nothing_that_is_ours(sample: Path) -> None:
    node = sample.name.removeprefix("domain-").partition(".")[0]
    domain, done = DOMAINS[node]
    assert parse_domain(sample.read_text()) == expected(node, domain, done)


def test_a_disk_that_is_plugged_in_later_is_the_one_of_the_definition() -> None:
    disk = PLAIN.disks["vda"]
    assert render_disk("vda", disk) in render_domain(SAMPLE_CLUSTER, "n", PLAIN, Epochs())


def test_a_chain_of_files_is_ended_explicitly_and_stays_with_its_owner() -> None:
    xml = render_disk("vda", PLAIN.disks["vda"])
    assert xml.count('<seclabel model="dac" relabel="no" />') == len(PLAIN.disks["vda"].backing)
    assert "<backingStore /></backingStore>" in xml


def test_a_free_root_port_is_left_for_disks_that_come_later() -> None:
    xml = render_domain(SAMPLE_CLUSTER, "n", PLAIN, Epochs())
    assert xml.count('model="pcie-root-port"') >= 10 + len(PLAIN.disks)


FOREIGN_DISKS = {
    "network disk": "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
    "<source protocol='rbd' name='pool/image'/><target dev='vdb' bus='virtio'/></disk>",
    "block device": "<disk type='block' device='disk'><driver name='qemu' type='raw'/>"
    "<source dev='/dev/sdb'/><target dev='vdb' bus='virtio'/></disk>",
    "CD-ROM without source": "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>",
    "CD-ROM on IDE": "<disk type='file' device='cdrom'><source file='/x.iso'/><target dev='hda' bus='ide'/></disk>",
    "floppy": "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>",
    "volume": "<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdb' bus='usb'/></disk>",
    "empty": "<disk/>",
}


@pytest.mark.parametrize("disk", FOREIGN_DISKS.values(), ids=FOREIGN_DISKS.keys())
def test_a_disk_that_somebody_added_by_hand_is_seen_as_a_difference(disk: str) -> None:
    record = parse_domain(GOLDEN_PLAIN.replace("<controller", f"{disk}<controller", 1))
    assert record is not None
    assert record.domain != PLAIN
    assert record.domain.disks.items() > PLAIN.disks.items()


@pytest.mark.parametrize(
    ("ours", "changed"),
    [
        ("device='disk'", "device='cdrom'"),
        ("<disk type='file'", "<disk type='block'"),
        ("bus='virtio'", "bus='usb'"),
        ("bus='virtio'", "bus='scsi'"),
        ("type='qcow2'", "type='raw'"),
        ("<memory unit='KiB'>524288", "<memory unit='KiB'>524289"),
        ("<vcpu placement='static'>1", "<vcpu placement='static'>2"),
        ("mode='maximum'", "mode='host-model'"),
        ("<boot dev='hd'/>", "<kernel>/k</kernel>"),
        ("network='clusternet-golden'", "network='default'"),
        ("dev='vmc-0123456789a'", "dev='vnet0'"),
        ("node.console.log", "other.log"),
    ],
)
def test_a_change_by_hand_is_seen_as_a_difference(ours: str, changed: str) -> None:
    assert ours in GOLDEN_PLAIN
    record = parse_domain(GOLDEN_PLAIN.replace(ours, changed))
    assert record is not None
    assert record.domain != PLAIN


@pytest.mark.parametrize("disk", FOREIGN_DISKS.values(), ids=FOREIGN_DISKS.keys())
def test_a_domain_without_our_mark_is_not_ours_whatever_it_holds(disk: str) -> None:
    unmarked = re.sub(r"<metadata.*</metadata>", "", GOLDEN_PLAIN, flags=re.DOTALL)
    weird = unmarked.replace("<controller", f"{disk}<controller", 1).replace("<vcpu placement='static'>1", "<vcpu>x")
    assert parse_domain(weird) is None


HOSTILE = {
    "no cluster": ('cluster="golden"', ""),
    "epoch in words": ('boot-epoch="0"', 'boot-epoch="many"'),
    "epoch of 5,000 digits": ('boot-epoch="0"', f'boot-epoch="{"9" * 5000}"'),
    "no template": ('template="1"', ""),
    "another namespace": ("urn:vmcluster:1", "urn:vmcluster:99"),
    "another element": ("vmcluster:node", "vmcluster:network"),
    "no devices": ("devices>", "gadgets>"),
    "not XML": ("</domain>", ""),
}


@pytest.mark.parametrize(("ours", "theirs"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_mark_that_we_cannot_have_written_is_no_mark(ours: str, theirs: str) -> None:
    assert ours in GOLDEN_PLAIN
    assert parse_domain(GOLDEN_PLAIN.replace(ours, theirs)) is None


@given(st.text())
def test_no_text_at_all_makes_the_parser_fail(text: str) -> None:
    assert parse_domain(text) is None


def test_a_disk_that_other_nodes_write_to_is_shareable() -> None:
    shared = render_disk("vdb", DomainDisk(path=Path("/d.raw"), format="raw", shared=True))
    assert "<shareable />" in shared
    assert '<driver name="qemu" type="raw" cache="none" />' in shared
    assert "<shareable />" not in render_disk("vda", PLAIN.disks["vda"])
