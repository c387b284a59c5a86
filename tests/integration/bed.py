"""A separate place for each test: settings, keys, topologies, and an audit of everything we have on the host."""

import atexit
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import libvirt
import yaml

from reconciler.act.outcome import Checkpoint
from reconciler.guest.keys import generate_client_key
from reconciler.runtime import Runtime
from reconciler.settings import Settings, load_settings
from reconciler.usecases.build_trees import Artifacts
from reconciler.usecases.clusters import Clusters
from reconciler.usecases.consoles import Consoles
from reconciler.usecases.deployment import Deployment
from reconciler.usecases.forks import Forks
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.kernel_logs import KernelLogs
from reconciler.usecases.network_faults import Faults
from reconciler.usecases.nodes import Nodes
from reconciler.usecases.snapshots import Snapshots
from reconciler.usecases.transfers import Transfers
from tests.etcd import RunningEtcd, free_ports
from tests.kvm_verdict import give_kvm_verdict
from tests.lab import IMAGE_DIR, WORK_DIR

LIBVIRT_URI = "qemu:///system"
BASE_IMAGE = IMAGE_DIR / "base.qcow2"
TEMPLATE_DIR = WORK_DIR / "templates"
"""Shared by all beds of a lab: a template is built once."""
_SPECS = Path(__file__).parents[2] / "specs"
STORE_VARIABLE = "VMCLUSTER_TEST_STORE"
"""Set to `etcd` in the environment, beds keep their records in an etcd of their own instead of a file."""
HOSTS_VARIABLE = "VMCLUSTER_TEST_HOSTS"
"""Set to names of hosts, with commas, in the environment: beds are of the configured host, whose store these share, and
the nodes of a topology are spread over them.
"""
_ROOTS = ("VMCLUSTER_HOST_READ_ROOTS", "VMCLUSTER_HOST_WRITE_ROOTS", "VMCLUSTER_DISK_ROOTS")
ACTOR = "test"
SHARED_CLUSTER = "trio"
"""The booted cluster that is shared by several tests: it is neither audited nor swept with them."""


def hosts_of_nodes() -> list[str]:
    """The hosts that the nodes of topologies are spread over; none where there is only one."""
    return [name for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name]


@dataclass(frozen=True)
class Bed:
    """One test's directory and the settings that point into it."""

    directory: Path
    settings: Settings

    @classmethod
    def made_in(cls, directory: Path) -> "Bed":
        """A bed with an SSH key and the verdict on the host's KVM, and nothing else."""
        if hosts_of_nodes():
            return cls.found_in(directory)
        key = directory / "ssh" / "key"
        key.parent.mkdir(mode=0o700)
        generate_client_key(key)
        (directory / "topologies").mkdir()
        (directory / "config.yaml").write_text("{}\n")
        give_kvm_verdict(directory / "state")
        if os.environ.get(STORE_VARIABLE) == "etcd":
            port, peer_port = free_ports(2)
            etcd = RunningEtcd(directory / "etcd", port, peer_port)
            etcd.start()
            atexit.register(etcd.stop)
            (directory / "config.yaml").write_text(f"store: {etcd.address}\n")
        return cls.found_in(directory)

    @classmethod
    def found_in(cls, directory: Path) -> "Bed":
        """An existing bed."""
        return cls(directory, load_settings(cls._environment(directory)))

    @property
    def environment(self) -> dict[str, str]:
        """The environment that one of our commands needs to use this bed."""
        return {**os.environ, **self._environment(self.directory)}

    @staticmethod
    def _environment(directory: Path) -> dict[str, str]:
        roots = dict.fromkeys(_ROOTS, f"{directory}:{BASE_IMAGE.parent}:{tempfile.gettempdir()}:{_SPECS}")
        if hosts_of_nodes():
            return roots
        return {
            "VMCLUSTER_CONFIG": str(directory / "config.yaml"),
            "VMCLUSTER_TOPOLOGY_DIR": str(directory / "topologies"),
            "VMCLUSTER_OVERLAY_DIR": str(directory / "overlays"),
            "VMCLUSTER_ARTIFACT_REGISTRY": str(directory / "artifacts" / "registry.json"),
            "VMCLUSTER_ARTIFACT_STORE_DIR": str(directory / "artifacts" / "trees"),
            "VMCLUSTER_STATE_DIR": str(directory / "state"),
            "VMCLUSTER_TEMPLATE_DIR": str(TEMPLATE_DIR),
            "VMCLUSTER_FAULT_REGISTRY": str(directory / "faults" / "registry.json"),
            "VMCLUSTER_SSH_KEY_PATH": str(directory / "ssh" / "key"),
            "VMCLUSTER_LIBVIRT_URI": LIBVIRT_URI,
            **roots,
        }

    @property
    def empty_image(self) -> Path:
        """An empty disk: machines with it stay in their firmware, and wait there at almost no cost."""
        image = self.directory / "empty.qcow2"
        if not image.exists():
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "8M"], check=True)
            image.chmod(0o644)
        return image

    def sector_image(self, sector: bytes, name: str = "sector") -> Path:
        """A disk with that boot sector, which is all that its machine ever runs."""
        raw, image = self.directory / f"{name}.raw", self.directory / f"{name}.qcow2"
        raw.write_bytes(sector.ljust(510, b"\0") + b"\x55\xaa")
        os.truncate(raw, 64 << 20)
        subprocess.run(["qemu-img", "convert", "-q", "-O", "qcow2", raw, image], check=True)
        image.chmod(0o644)
        return image

    def write_topology(self, cluster: str, *, nodes: int = 2, boots: bool = False, edit: Any = None) -> Path:
        """Write a topology file of small nodes `n0`, `n1`, …; only with `boots` their guest boots.

        `edit` may change the document before it is written.
        """
        prefix = "192.168.151" if cluster == SHARED_CLUSTER else "192.168.150"  # exists at the same time as the others
        document: dict[str, Any] = {
            "cluster_name": cluster,
            "base_image": str(BASE_IMAGE if boots else self.empty_image),
            "network": {
                "name": f"net-{cluster}",
                "bridge": f"vb-{cluster}"[:15],
                "subnet": f"{prefix}.0/24",
                "forward": "isolated",
            },
            "nodes": [
                {"name": f"n{i}", "role": "node", "vcpus": 1, "memory_mb": 512, "ip": f"{prefix}.{10 + i}"}
                for i in range(nodes)
            ],
        }
        for node, host in zip(document["nodes"], cycle(hosts_of_nodes()), strict=False):
            node["host"] = host
        if edit is not None:
            edit(document)
        path = self.settings.topology_dir / f"{cluster}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def runtime(self, checkpoint: Checkpoint | None = None) -> Runtime:
        """A new runtime on this bed, as a separate process has it."""
        return Runtime(self.settings) if checkpoint is None else Runtime(self.settings, checkpoint=checkpoint)


@contextmanager
def temporary_bed() -> Iterator[Bed]:
    """A bed for longer than one test, in a directory that QEMU's user may enter."""
    with tempfile.TemporaryDirectory(dir=WORK_DIR) as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield Bed.made_in(directory)


@dataclass(frozen=True)
class Session:
    """One client with its own runtime."""

    runtime: Runtime

    @property
    def clusters(self) -> Clusters:
        return Clusters(self.runtime, actor=ACTOR)

    @property
    def snapshots(self) -> Snapshots:
        return Snapshots(self.runtime, actor=ACTOR)

    @property
    def forks(self) -> Forks:
        return Forks(self.runtime, actor=ACTOR)

    @property
    def faults(self) -> Faults:
        return Faults(self.runtime, actor=ACTOR)

    @property
    def nodes(self) -> Nodes:
        return Nodes(self.runtime)

    @property
    def kernel_logs(self) -> KernelLogs:
        return KernelLogs(self.runtime)

    @property
    def consoles(self) -> Consoles:
        return Consoles(self.runtime)

    @property
    def transfers(self) -> Transfers:
        return Transfers(self.runtime)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.runtime)

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.runtime)

    @property
    def inspection(self) -> Inspection:
        return Inspection(self.runtime)


@contextmanager
def host_libvirt() -> Iterator[Any]:
    """A separate connection for a test, so that it sees the host independently of the product."""
    handle = libvirt.open(LIBVIRT_URI)
    try:
        yield handle
    finally:
        handle.close()


@dataclass(frozen=True)
class Audit:
    """Everything that a cluster could have left on the host, found without asking the product."""

    domains: frozenset[str]
    active: frozenset[str]
    networks: frozenset[str]
    bridges: frozenset[str]
    files: frozenset[str]

    @property
    def clean(self) -> bool:
        """Whether nothing was left."""
        return not (self.domains or self.networks or self.bridges or self.files)


def audit(bed: Bed) -> Audit:
    """Look at libvirt, the interfaces and the bed's directories."""
    with host_libvirt() as handle:
        domains = _apart_from_shared(handle.listAllDomains())
        networks = _apart_from_shared(handle.listAllNetworks())
        overlays = bed.settings.overlay_dir
        return Audit(
            domains=frozenset(domain.name() for domain in domains),
            active=frozenset(domain.name() for domain in domains if domain.isActive()),
            networks=frozenset(f"{network.name()}:{'on' if network.isActive() else 'off'}" for network in networks),
            bridges=frozenset(name for name in _bridges() if not name.endswith(SHARED_CLUSTER)),
            files=frozenset(str(path.relative_to(overlays)) for path in overlays.rglob("*")),
        )


def sweep() -> None:
    """Remove whatever a failed test has left, so that the next one starts clean."""
    with host_libvirt() as handle:
        for domain in _apart_from_shared(handle.listAllDomains()):
            if domain.isActive():
                domain.destroy()
            if domain.isPersistent():
                domain.undefine()
        for network in _apart_from_shared(handle.listAllNetworks()):
            if network.isActive():
                network.destroy()
            if network.isPersistent():
                network.undefine()


def _apart_from_shared(resources: list[Any]) -> list[Any]:
    return [of for of in resources if SHARED_CLUSTER not in of.name()]


def _bridges() -> list[str]:
    return [interface.name for interface in Path("/sys/class/net").iterdir() if (interface / "bridge").exists()]
