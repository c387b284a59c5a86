"""Clusters of small nodes whose disks are written with qemu-io: exact to the byte, without booting a guest."""

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from tests.integration.bed import Bed, host_libvirt

CLUSTER = "film"
NODES = ("n0", "n1")
RUNNING = dict.fromkeys(NODES, libvirt.VIR_DOMAIN_RUNNING)
BLOCK_BYTES = 65536
_ROOT_DISK_IN_QEMU = "/machine/peripheral/virtio-disk0/virtio-backend"


def top_layers(cluster: str, node: str) -> dict[str, Path]:
    """The file that each disk of a node writes to at the next boot, by target, according to libvirt."""
    with host_libvirt() as handle:
        xml = handle.lookupByName(f"{cluster}.{node}").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    disks = (disk for disk in ElementTree.fromstring(xml).iter("disk") if disk.find("readonly") is None)
    return {_attribute(disk, "target", "dev"): Path(_attribute(disk, "source", "file")) for disk in disks}


def write_block(cluster: str, node: str, block: int, pattern: int) -> None:
    """Fill one block of a node's root disk as its guest would: through QEMU if the node is up."""
    command = f"write -P {pattern} {block * BLOCK_BYTES} {BLOCK_BYTES}"
    with host_libvirt() as handle:
        domain = handle.lookupByName(f"{cluster}.{node}")
        if not domain.isActive():
            _qemu_io(top_layers(cluster, node)["vda"], command)
            return
        for line in (command, "flush"):
            monitor_command = f'qemu-io -d {_ROOT_DISK_IN_QEMU} "{line}"'
            libvirt_qemu.qemuMonitorCommand(domain, monitor_command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def write(pattern: int) -> None:
    """Fill the first block of each node of the film."""
    for node in NODES:
        write_block(CLUSTER, node, 0, pattern)


def assert_blocks(file: Path, blocks: dict[int, int]) -> None:
    """Assert that every block holds its pattern, read through the whole chain, even if the image is open."""
    _qemu_io(file, *(f"read -P {pattern} {block * BLOCK_BYTES} {BLOCK_BYTES}" for block, pattern in blocks.items()))


def _qemu_io(file: Path, *commands: str) -> None:
    arguments = [word for command in commands for word in ("-c", command)]
    sharing = ["-U", "-r"] if commands[0].startswith("read") else []
    done = subprocess.run(
        ["qemu-io", *sharing, "-f", "qcow2", *arguments, str(file)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "verification failed" not in said, said


def states(cluster: str) -> dict[str, int]:
    """The state of each node according to libvirt."""
    with host_libvirt() as handle:
        found = [(domain.name(), domain.state()[0]) for domain in handle.listAllDomains()]
    return {name.removeprefix(f"{cluster}."): state for name, state in found if name.startswith(f"{cluster}.")}


def assert_nothing_is_left_over(bed: Bed, cluster: str) -> None:
    """Assert that a disk or a snapshot needs every layer, and that a snapshot has only its manifest and its memory."""
    directory = bed.settings.overlay_dir / cluster
    manifests = {path.parent.name: json.loads(path.read_text()) for path in directory.glob("snapshots/*/manifest.json")}
    parts = [node for manifest in manifests.values() for node in manifest["nodes"].values()]
    tops = [disk["path"] for part in parts for disk in part["disks"].values()]
    tops += [str(path) for node in states(cluster) for path in top_layers(cluster, node).values()]
    needed = {file for top in tops for file in chain_of(Path(top))}
    layers = {str(path) for path in directory.glob("*.qcow2")}
    assert layers <= needed, f"left over: {layers - needed}"
    memories = {part["memory"] for part in parts if part["memory"]}
    expected = {str(directory / "snapshots" / name / "manifest.json") for name in manifests} | memories
    assert {str(path) for path in directory.glob("snapshots/*/*")} == expected
    assert {path.name for path in directory.glob("snapshots/*")} == manifests.keys()
    assert not list(directory.rglob(".*"))


def chain_of(top: Path) -> list[str]:
    """The files that an image consists of, from the top down, according to qemu-img."""
    told = subprocess.run(
        ["qemu-img", "info", "-U", "--backing-chain", "--output=json", str(top)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [image["filename"] for image in json.loads(told.stdout)]


def _attribute(disk: ElementTree.Element, child: str, name: str) -> str:
    found = disk.find(child)
    assert found is not None
    return found.attrib[name]


def small_nodes(document: dict[str, Any]) -> None:
    """Edit a topology: nodes with little memory, and a short wait for logins."""
    document["ssh"] = {"connect_timeout_s": 0.1}
    for node in document["nodes"]:
        node["memory_mb"] = 64
