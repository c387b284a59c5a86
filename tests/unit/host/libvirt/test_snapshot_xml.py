"""The XML of layer chains: switching, replacing, and restoring memory onto other files."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from reconciler.host.libvirt.domain_xml import DomainRecord, parse_domain, render_domain
from reconciler.host.libvirt.restore_xml import SavedMachine, render_restore, restore_obstacles, saved_machine
from reconciler.host.libvirt.snapshot_xml import flattened, render_switch, replace_disks, stacked
from reconciler.model.document import BackingFile, DirectBoot, Domain, DomainDisk
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus, Firmware
from tests.unit.host.libvirt.samples import FULL, PLAIN, UEFI

GOLDEN = Path(__file__).parent / "golden"
PLAIN_XML = (GOLDEN / "domain-plain.libvirt-9.0.0.xml").read_text()
FULL_XML = (GOLDEN / "domain-full.libvirt-9.0.0.xml").read_text()
OVERLAYS = Path("/var/lib/vmcluster/overlays/golden")
UEFI_XML = (GOLDEN / "domain-uefi.libvirt-9.0.0.xml").read_text()
LAYER = OVERLAYS / "node.vda.r1.0.qcow2"
FROZEN = DomainDisk(
    path=OVERLAYS / "node.vda.r0.2.qcow2",
    format="qcow2",
    backing=(
        BackingFile(path=OVERLAYS / "node.vda.r0.1.qcow2", format="qcow2"),
        BackingFile(path=OVERLAYS / "node.vda.r0.0.qcow2", format="qcow2"),
        BackingFile(path=Path("/var/lib/vmcluster/images/base.raw"), format="raw"),
    ),
)


def parsed(xml: str) -> DomainRecord:
    record = parse_domain(xml)
    assert record is not None
    return record


def with_disk(domain: Domain, target: str, disk: DomainDisk) -> Domain:
    return domain.model_copy(update={"disks": {**domain.disks, target: disk}})


def test_a_switch_names_every_disk_so_that_libvirt_chooses_no_layer_itself() -> None:
    assert render_switch({"vda": LAYER}, ["vda", "vdz"], None) == (
        '<domainsnapshot><memory snapshot="no" /><disks>'
        '<disk name="vda" snapshot="external" type="file"><driver type="qcow2" />'
        f'<source file="{LAYER}" /></disk>'
        '<disk name="vdz" snapshot="no" /></disks></domainsnapshot>'
    )


def test_a_switch_with_memory_says_where_it_goes() -> None:
    root = ET.fromstring(render_switch({"vda": LAYER}, ["vda"], Path("/m & m")))
    memory = root.find("memory")
    assert memory is not None
    assert memory.attrib == {"snapshot": "external", "file": "/m & m"}


def test_a_stacked_disk_has_its_old_top_below_the_layer() -> None:
    disk = stacked(FROZEN, LAYER)
    assert disk.path == LAYER
    assert disk.backing == (BackingFile(path=FROZEN.path, format="qcow2"), *FROZEN.backing)
    raw = DomainDisk(path=Path("/data.raw"), format="raw", bus=DiskBus.SATA)
    assert stacked(raw, LAYER) == DomainDisk(
        path=LAYER, format="qcow2", bus=DiskBus.SATA, backing=(BackingFile(path=Path("/data.raw"), format="raw"),)
    )


def test_a_flattened_disk_keeps_its_base_and_what_is_below_it() -> None:
    assert flattened(FROZEN, FROZEN.backing[1].path).backing == FROZEN.backing[1:]
    assert flattened(FROZEN, FROZEN.backing[2].path).backing == FROZEN.backing[2:]
    assert flattened(FROZEN, None).backing == ()


def test_a_disk_is_not_flattened_to_a_file_that_is_not_below_it() -> None:
    for base in (FROZEN.path, LAYER):
        with pytest.raises(ValueError, match="is not below"):
            flattened(FROZEN, base)


@pytest.mark.parametrize("xml", [PLAIN_XML, FULL_XML])
@pytest.mark.parametrize("disk", [FROZEN, stacked(FROZEN, LAYER), flattened(FROZEN, None)])
def test_replacing_a_disk_changes_its_files_and_nothing_else(xml: str, disk: DomainDisk) -> None:
    before = parsed(xml)
    after = replace_disks(xml, {"vda": disk})
    assert parsed(after) == DomainRecord(with_disk(before.domain, "vda", disk), before.mark)
    assert _apart_from_chain(after, "vda") == _apart_from_chain(xml, "vda")


def test_replacing_an_unknown_disk_is_refused() -> None:
    with pytest.raises(ValueError, match="no disk 'vdx'"):
        replace_disks(PLAIN_XML, {"vdx": FROZEN})


def test_libvirt_may_relabel_frozen_layers_and_never_the_image() -> None:
    root = ET.fromstring(replace_disks(PLAIN_XML, {"vda": FROZEN}))
    kept = [source.get("file") for source in root.iter("source") if source.find("seclabel") is not None]
    assert kept == [str(FROZEN.backing[-1].path)]


def test_a_frozen_layer_of_another_cluster_is_an_image_like_any_other() -> None:
    image = BackingFile(path=Path("/var/lib/vmcluster/overlays/other/node.vda.r0.0.qcow2"), format="qcow2")
    root = ET.fromstring(replace_disks(PLAIN_XML, {"vda": FROZEN.model_copy(update={"backing": (image,)})}))
    kept = [source.get("file") for source in root.iter("source") if source.find("seclabel") is not None]
    assert kept == [str(image.path)]


def test_a_restored_machine_reads_back_as_the_desired_definition() -> None:
    saved = parsed(FULL_XML).domain
    boot = DirectBoot(kernel=Path("/new/vmlinuz"), initrd=None, cmdline='root=/dev/vda1 new & "quoted"')
    wanted = with_disk(saved, "vda", stacked(FROZEN, LAYER)).model_copy(
        update={"role": "other", "network": "net2", "tap": "vmc-2", "console": Path("/c.log"), "boot": boot}
    )
    xml = render_restore(FULL_XML, "golden", "node", wanted, Epochs(boot=7, resume=8))
    record = parsed(xml)
    assert record.domain == wanted
    assert record.carried_out == Epochs(boot=7, resume=8)
    assert (record.mark.cluster, record.mark.node) == ("golden", "node")
    assert restore_obstacles(FULL_XML, wanted) == []


@pytest.mark.parametrize(
    "named",
    [
        "<nvram template='/vars.fd' templateFormat='raw' format='raw'>/old.nvram</nvram>",
        "<nvram template='/vars.fd' type='file'><source file='/old.nvram'/></nvram>",
    ],
)
def test_a_restored_machine_has_its_uefi_and_another_file_with_variables(named: str) -> None:
    chosen = f"<os><type>hvm</type><loader readonly='yes' type='pflash'>/code.fd</loader>{named}</os>"
    xml = re.sub(r"<os firmware.*</os>", chosen, UEFI_XML, flags=re.DOTALL)
    wanted = UEFI.model_copy(update={"nvram": Path("/new.nvram")})
    assert parsed(xml).domain == UEFI.model_copy(update={"nvram": Path("/old.nvram")})
    assert restore_obstacles(xml, wanted) == []
    assert parsed(render_restore(xml, "golden", "uefi", wanted, Epochs())).domain == wanted


def test_a_restored_machine_keeps_the_hardware_that_it_was_saved_with() -> None:
    xml = render_restore(PLAIN_XML, "golden", "node", PLAIN, Epochs())
    for tag in ("controller", "address", "emulator", "type"):
        assert _attributes(xml, tag) == _attributes(PLAIN_XML, tag)


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"memory_mb": 1024}, "memory_mb was 512 and is 1024"),
        ({"vcpus": 2}, "vcpus was 1 and is 2"),
        ({"cpu": "Nehalem"}, "cpu was 'maximum' and is 'Nehalem'"),
        ({"firmware": Firmware.UEFI}, "firmware was 'bios' and is 'uefi'"),
        ({"disks": {"vda": FROZEN}}, "its disks were vda, vdz and are vda"),
        (
            {"disks": {**PLAIN.disks, "vda": FROZEN.model_copy(update={"bus": DiskBus.SATA})}},
            "disk vda was on a different bus or had different access",
        ),
        (
            {"boot": DirectBoot(kernel=Path("/k"), initrd=None, cmdline="")},
            "it was not booted with a kernel from the host",
        ),
    ],
)
def test_other_hardware_is_an_obstacle_with_a_name(change: dict[str, object], obstacle: str) -> None:
    assert restore_obstacles(PLAIN_XML, PLAIN.model_copy(update=change)) == [obstacle]


def test_memory_of_a_machine_that_is_not_ours_is_no_candidate() -> None:
    assert restore_obstacles("<domain/>", PLAIN) == ["the saved memory is not from one of our machines"]


@pytest.mark.parametrize(("version", "machine"), [("9.0.0", "pc-q35-7.2"), ("11.3.0", "pc-q35-10.0")])
def test_a_memory_names_the_machine_type_of_the_qemu_that_saved_it(version: str, machine: str) -> None:
    xml = (GOLDEN / f"domain-plain.libvirt-{version}.xml").read_text()
    assert saved_machine(xml) == SavedMachine("x86_64", machine, "qemu")


def test_what_we_render_ourselves_can_be_restored_as_it_is() -> None:
    for domain in (PLAIN, FULL):
        assert restore_obstacles(render_domain("golden", "node", domain, Epochs()), domain) == []


def _apart_from_chain(xml: str, target: str) -> str:
    root = ET.fromstring(xml)
    for disk in root.iterfind("devices/disk"):
        if disk.find(f"target[@dev='{target}']") is not None:
            for child in [*disk.findall("source"), *disk.findall("backingStore")]:
                disk.remove(child)
    return ET.canonicalize(ET.tostring(root, encoding="unicode"), strip_text=True)


def _attributes(xml: str, tag: str) -> list[dict[str, str]]:
    return [element.attrib for element in ET.fromstring(xml).iter(tag)]
