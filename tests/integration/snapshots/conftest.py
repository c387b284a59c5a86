"""A machine without an operating system: its disks are written through QEMU's monitor, and read back as a whole."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
import pytest

from reconciler.act import snapshot_actions
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.libvirt.domain_xml import parse_domain
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.libvirt.libvirt_snapshots import LibvirtSnapshots
from reconciler.host.libvirt.snapshot_xml import stacked
from reconciler.model import names
from reconciler.model.document import Domain, DomainDisk, Layer
from tests.integration.bed import LIBVIRT_URI, Bed, Session, host_libvirt
from tests.integration.snapshots import films

CLUSTER = "snap"
NODE = "n0"
DISK_BYTES = 8 << 20
BLOCK_BYTES = 64 << 10
_ALIASES = {"vda": "virtio-disk0", "vdb": "virtio-disk1"}


@pytest.fixture(autouse=True)
def nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines in their firmware accept no login; each revert to a memory would wait 36 s for one, to set the clock."""
    monkeypatch.setattr(snapshot_actions, "_CLOCK_LOGIN_S", 0.01)
    monkeypatch.setattr(snapshot_actions, "_LATE_CLOCK_LOGIN_S", 0.01)


@dataclass
class Machine:
    """One node with a root disk on an image and an extra disk, and what its disks should contain."""

    overlay_dir: Path
    base: Path
    driver: Libvirt
    snapshots: LibvirtSnapshots
    layers: LayerDriver = field(default_factory=LayerDriver)
    content: dict[str, bytearray] = field(default_factory=dict)

    @property
    def targets(self) -> list[str]:
        return list(_ALIASES)

    def domain(self, *, live: bool = False) -> Domain:
        """The definition as the product reads it."""
        flags = 0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE
        with host_libvirt() as handle:
            record = parse_domain(handle.lookupByName(f"{CLUSTER}.{NODE}").XMLDesc(flags))
        assert record is not None
        return record.domain

    def disk(self, target: str) -> DomainDisk:
        """A disk of the persistent definition."""
        return self.domain().disks[target]

    def state(self) -> tuple[int, int]:
        with host_libvirt() as handle:
            state, reason = handle.lookupByName(f"{CLUSTER}.{NODE}").state()
        return state, reason

    async def start(self, *, paused: bool = False) -> None:
        await self.driver.start(CLUSTER, NODE, paused=paused, resume_epoch=0)

    async def cut_power(self) -> None:
        await self.driver.cut_power(CLUSTER, NODE, boot_epoch=0)

    async def pause(self) -> None:
        await self.driver.suspend(CLUSTER, NODE)

    async def resume(self) -> None:
        await self.driver.resume_if_paused(CLUSTER, NODE)

    async def define(self, domain: Domain) -> None:
        found = (await self.driver.find_domains(CLUSTER))[NODE].record
        assert found is not None
        await self.driver.define_domain(CLUSTER, NODE, domain, found.carried_out)

    async def make_layers(self, *, revision: int, depth: int = 0, disks: dict[str, DomainDisk]) -> dict[str, Path]:
        """Create a fresh layer above each of those disks."""
        made = {}
        for target, disk in disks.items():
            made[target] = names.layer_path(self.overlay_dir, CLUSTER, NODE, target, revision, depth)
            layer = Layer(node=NODE, disk=target, size_bytes=DISK_BYTES, backing=disk.path, backing_format=disk.format)
            await self.layers.create_layer(made[target], layer, cluster=CLUSTER)
        return made

    async def make_layers_on_top(self, *, depth: int) -> dict[str, Path]:
        """Create a fresh layer above each disk as it is now."""
        return await self.make_layers(
            revision=0, depth=depth, disks={target: self.disk(target) for target in self.targets}
        )

    def write(self, target: str, block: int, pattern: int) -> None:
        """Write one block of 64 KiB as the machine."""
        offset = block * BLOCK_BYTES
        command = f"write -P {pattern} {offset} {BLOCK_BYTES}"
        if self.domain_is_active():
            for line in (command, "flush"):
                self._monitor(f'qemu-io -d /machine/peripheral/{_ALIASES[target]}/virtio-backend "{line}"')
        else:
            _run("qemu-io", "-f", "qcow2", "-c", command, str(self.disk(target).path))
        self.content[target][offset : offset + BLOCK_BYTES] = bytes([pattern]) * BLOCK_BYTES

    def kill_qemu(self) -> None:
        """Make QEMU die without a chance to write anything out."""
        pid = int(Path(f"/run/libvirt/qemu/{CLUSTER}.{NODE}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        while self.domain_is_active():
            time.sleep(0.05)

    def domain_is_active(self) -> bool:
        with host_libvirt() as handle:
            return bool(handle.lookupByName(f"{CLUSTER}.{NODE}").isActive())

    def expected(self) -> dict[str, str]:
        """The digests of what the disks should contain now."""
        return {target: hashlib.sha256(content).hexdigest() for target, content in self.content.items()}

    def digests(self) -> dict[str, str]:
        """The digests of what the disks contain, read through their whole chains."""
        return {target: digest(self.disk(target).path) for target in self.targets}

    def _monitor(self, command: str) -> Any:
        with host_libvirt() as handle:
            domain = handle.lookupByName(f"{CLUSTER}.{NODE}")
            return libvirt_qemu.qemuMonitorCommand(domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def digest(layer: Path) -> str:
    """The digest of everything that a guest would read from this layer, even while QEMU has it open."""
    raw = layer.with_name(f"{layer.name}.raw-test-copy")
    try:
        _run("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(layer), str(raw))
        return hashlib.sha256(raw.read_bytes()).hexdigest()
    finally:
        raw.unlink(missing_ok=True)


def traces(file: Path) -> tuple[int, ...]:
    """Values that differ after any change of a file, its owner or its attributes."""
    facts = file.stat()
    return (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_uid, facts.st_gid, facts.st_mode, facts.st_size)


@pytest.fixture
async def machine(bed: Bed, session: Session) -> AsyncIterator[Machine]:
    """A machine that is off, with data in its image and on both disks."""
    base = bed.directory / "base.qcow2"
    _run("qemu-img", "create", "-q", "-f", "qcow2", str(base), str(DISK_BYTES))
    _run("qemu-io", "-c", f"write -P 1 0 {BLOCK_BYTES}", str(base))
    base.chmod(0o644)

    def small(document: dict[str, Any]) -> None:
        document["base_image"] = str(base)
        document["nodes"][0]["memory_mb"] = 64

    bed.write_topology(CLUSTER, nodes=1, edit=small)
    await session.clusters.define(CLUSTER)
    driver = Libvirt(LIBVIRT_URI)
    machine = Machine(bed.settings.overlay_dir, base, driver, LibvirtSnapshots(driver.connection))
    machine.content = {target: bytearray(DISK_BYTES) for target in machine.targets}
    machine.content["vda"][:BLOCK_BYTES] = b"\x01" * BLOCK_BYTES
    await _add_extra_disk(machine, bed.directory / "data0.qcow2")
    for target in machine.targets:
        machine.write(target, 1, 2)
    yield machine
    driver.close()


async def _add_extra_disk(machine: Machine, path: Path) -> None:
    await machine.layers.create_layer(path, Layer(node=NODE, disk="vdb", size_bytes=DISK_BYTES), cluster=CLUSTER)
    domain = machine.domain()
    disks = {"vda": domain.disks["vda"], "vdb": DomainDisk(path=path, format="qcow2"), "vdz": domain.disks["vdz"]}
    await machine.define(domain.model_copy(update={"disks": disks}))


def with_layers(domain: Domain, layers: dict[str, Path]) -> Domain:
    """The definition with those layers put on top."""
    disks = {target: stacked(domain.disks[target], layer) for target, layer in layers.items()}
    return domain.model_copy(update={"disks": {**domain.disks, **disks}})


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture
async def film(bed: Bed, session: Session) -> Session:
    """Two machines that run in their firmware, with a block written."""
    bed.write_topology(films.CLUSTER, edit=films.small_nodes)
    await session.clusters.define(films.CLUSTER)
    await session.clusters.start(films.CLUSTER, wait_for_ssh=False)
    films.write(1)
    return session
