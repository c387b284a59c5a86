"""What we make is as private as it can be and QEMU's user still gets at it, under a real libvirtd."""

import asyncio
import os
import pwd
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import libvirt
import pytest

from reconciler.host.cloud_init.seed_codec import SeedInputs
from reconciler.host.cloud_init.seed_driver import delete_seed, observe_seeds, write_seed
from reconciler.host.disks.layers import LayerDriver, delete_layer, observe_layers
from reconciler.model.document import Layer, Seed
from reconciler.model.names import layer_path, seed_path
from tests.lab import WORK_DIR

CLUSTER, NODE = "modes", "n1"
MIB = 1 << 20


@pytest.fixture
def base() -> Iterator[Path]:
    path = WORK_DIR / "modes-base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    path.chmod(0o444)
    yield path
    path.unlink()


@pytest.fixture
def overlays(base: Path) -> Iterator[Path]:
    directory = WORK_DIR / "modes-overlays"
    layer = Layer(node=NODE, disk="vda", size_bytes=64 * MIB, backing=base, backing_format="qcow2")
    asyncio.run(LayerDriver().create_layer(root_disk(directory), layer, cluster=CLUSTER))
    write_seed(directory, seed_inputs(), "digest")
    yield directory
    delete_seed(directory, CLUSTER, NODE)
    delete_layer(root_disk(directory), CLUSTER)
    (directory / CLUSTER).rmdir()
    directory.rmdir()


@pytest.fixture
def connection() -> Iterator[libvirt.virConnect]:
    connection = libvirt.open("qemu:///system")
    yield connection
    connection.close()


@pytest.fixture
def running(connection: libvirt.virConnect, overlays: Path, base: Path) -> Iterator[libvirt.virDomain]:
    """A domain on the layer and the seed; its CPU does not run, its files are open."""
    domain = connection.createXML(domain_xml(overlays, base), libvirt.VIR_DOMAIN_START_PAUSED)
    yield domain
    for left in connection.listAllDomains():
        left.destroy()


def root_disk(overlays: Path) -> Path:
    return layer_path(overlays, CLUSTER, NODE, "vda", 0)


def seed_inputs() -> SeedInputs:
    return SeedInputs(
        cluster_name=CLUSTER,
        node=NODE,
        instance_id="modes",
        mac="52:00:00:00:00:01",
        ip=IPv4Address("192.168.100.2"),
        prefix_length=24,
        gateway=None,
        hosts="",
        ssh_user="root",
        ssh_public_key="ssh-ed25519 AAAA",
    )


def domain_xml(overlays: Path, base: Path) -> str:
    return f"""
    <domain type='qemu'>
      <name>modes</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type></os>
      <devices>
        <disk type='file' device='disk'>
          <driver name='qemu' type='qcow2'/><source file='{root_disk(overlays)}'/><target dev='vda' bus='virtio'/>
          <backingStore type='file'>
            <format type='qcow2'/>
            <source file='{base}'><seclabel model='dac' relabel='no'/></source>
            <backingStore/>
          </backingStore>
        </disk>
        <disk type='file' device='disk'>
          <driver name='qemu' type='raw'/><source file='{seed_path(overlays, CLUSTER, NODE)}'/>
          <target dev='vdz' bus='virtio'/><readonly/>
        </disk>
      </devices>
    </domain>"""


def owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


@pytest.mark.usefixtures("running")
def test_private_layers_and_seeds_are_lent_to_qemu_and_are_still_observed(overlays: Path) -> None:
    assert owner(root_disk(overlays)) == "libvirt-qemu"
    assert isinstance(observe_layers(overlays, CLUSTER)[str(root_disk(overlays))], Layer)
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="digest")}
    assert seed_path(overlays, CLUSTER, NODE).stat().st_mode & 0o777 == 0o600


def test_only_the_layer_is_given_back_when_the_domain_ends(running: libvirt.virDomain, overlays: Path) -> None:
    running.destroy()
    assert owner(root_disk(overlays)) == pwd.getpwuid(os.geteuid()).pw_name
    assert owner(seed_path(overlays, CLUSTER, NODE)) == "libvirt-qemu"


def test_a_base_image_is_the_same_before_and_after(connection: libvirt.virConnect, overlays: Path, base: Path) -> None:
    before = base.stat()
    for _ in range(2):
        connection.createXML(domain_xml(overlays, base), libvirt.VIR_DOMAIN_START_PAUSED).destroy()
    after = base.stat()
    for property_ in ("st_ino", "st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(after, property_) == getattr(before, property_), property_
    assert os.listxattr(base) == []


def test_a_seed_may_be_written_again_while_a_domain_has_it_open(running: libvirt.virDomain, overlays: Path) -> None:
    write_seed(overlays, seed_inputs(), "newer")
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="newer")}
    running.destroy()
    assert observe_seeds(overlays, CLUSTER) == {NODE: Seed(digest="newer")}
    assert [path.name for path in (overlays / CLUSTER).iterdir() if path.name.startswith(".")] == []


def test_without_privilege_no_other_user_reads_a_layer_or_a_seed(overlays: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for path in (root_disk(overlays), seed_path(overlays, CLUSTER, NODE)):
        read = subprocess.run(
            ["setpriv", f"--reuid={nobody.pw_uid}", "--clear-groups", "cat", path], check=False, capture_output=True
        )
        assert b"Permission denied" in read.stderr
