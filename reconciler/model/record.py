"""The desired-state record of a cluster: everything a user has requested, and nothing that was observed.

Tools and commands change records and wait; only the controller acts on them. One-shot verbs (a crash, a
revert) are counters that the host is made to match, so that they are carried out exactly once.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.choices import StopMode
from reconciler.model.drift import DriftPolicy
from reconciler.model.faults import DeclaredFault, WantedFault
from reconciler.model.placement import PlacementPolicy
from reconciler.model.topology import Boot, DiskBus, Firmware, Forward, RestartPolicy, StartMode, VirtType

BYTES_PER_GB = 1024**3
UNSIGNED = ""
"""The adopted key that stands for marks of earlier versions, which have no origin."""

EVERYTHING = "*"
"""The consent to lose everything that a cluster has."""


TUNNEL_MTU = 1450
"""The largest packet that passes by VXLAN over IPv4, if the hosts' own network carries 1500 bytes."""


class WantedPower(StrEnum):
    """The desired power state of a node; `paused` starts it with its CPUs stopped, for a debugger."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


class ImageFile(Frozen):
    """One of the user's disk images, only ever read; format and virtual size come from its header.

    A different `identity` means a different image under the same name, which disks made on the old one do not fit.
    Where several hosts share a store, `digest` says which content is meant.
    """

    path: Path
    format: str
    size_bytes: int
    identity: str = ""
    digest: str = ""
    waits: bool = Field(default=False, description="It waits for its identity where its seed says so.")

    def is_same(self, other: "ImageFile") -> bool:
        """Whether a disk made on one may stand on the other: by content where that of both is known."""
        if self.digest and other.digest:
            return (self.digest, self.format) == (other.digest, other.format)
        return self.model_copy(update={"digest": other.digest, "waits": other.waits}) == other


class TunnelSpec(Frozen):
    """How a host's part of a cluster's network is joined with those on other hosts: by VXLAN, to exactly these peers.

    `local` and `peers` are the hosts' addresses for tunnels; `own_address` is the host's own in the cluster's subnet,
    by which it reaches nodes on other hosts: the gateway's address is on every host. None: no address was free.
    """

    vni: int
    port: int = 4789
    local: IPv4Address | IPv6Address
    peers: tuple[IPv4Address | IPv6Address, ...]
    own_address: IPv4Address | None = None

    @property
    def mtu(self) -> int:
        """The largest packet that passes."""
        return TUNNEL_MTU - 20 if isinstance(self.local, IPv6Address) else TUNNEL_MTU


class NetworkSpec(Frozen):
    """The resolved network of a cluster; only a host's part of a record over several hosts has a tunnel."""

    name: str
    bridge: str
    subnet: IPv4Network
    gateway: IPv4Address
    forward: Forward
    host_address: IPv4Address | None = Field(
        default=None, description="The host's address in the network of a fork, which is joined with nothing else."
    )
    tunnel: TunnelSpec | None = Field(default=None, exclude=True)


class ExtraDiskSpec(Frozen):
    """A resolved extra disk; `existing` files are used as they are and never deleted."""

    path: Path
    size_bytes: int
    bus: DiskBus
    existing: bool
    format: str = "qcow2"
    shared: bool = False


class BootSpec(Boot):
    """Direct kernel boot; a different `identity` means that the kernel or initrd files were replaced."""

    identity: str = ""


class NodeSpec(Frozen):
    """A resolved node: every inherited value is filled in."""

    role: str
    vcpus: int
    memory_mb: int
    ip: IPv4Address
    mac: str
    tap: str
    base_image: ImageFile
    disk_gb: int | None = Field(default=None, description="Size of the root disk; None: that of the image.")
    extra_disks: dict[str, ExtraDiskSpec] = Field(default={}, description="By target: vdb, vdc, …")
    boot: BootSpec | None = None
    virt_type: VirtType = VirtType.AUTO
    firmware: Firmware = Firmware.BIOS
    video: bool = False
    restart: RestartPolicy = RestartPolicy.ALWAYS
    start: StartMode = StartMode.AUTO
    cpu: str | None = None
    user_data: dict[str, Any] = {}
    host: str = Field(default="", description="The host it is placed on; empty: the only one.")

    @property
    def root_disk_bytes(self) -> int:
        """The size of a new root disk."""
        return self.base_image.size_bytes if self.disk_gb is None else self.disk_gb * BYTES_PER_GB


class SshSpec(Frozen):
    """How to log in to the nodes; the seeds carry the public key."""

    user: str
    key_path: Path
    public_key: str
    connect_timeout_s: float


class ClusterSpec(Frozen):
    """A whole topology, resolved."""

    overlay_dir: Path
    network: NetworkSpec
    nodes: dict[str, NodeSpec]
    ssh: SshSpec
    snapshot_names: dict[str, str] = Field(default={}, description="Logical name -> snapshot name.")
    drift: DriftPolicy = DriftPolicy()
    faults: dict[str, DeclaredFault] = Field(default={}, description="By name in the topology; checked.")
    placement: PlacementPolicy = PlacementPolicy()
    elsewhere: dict[str, NodeSpec] = Field(
        default={}, exclude=True, description="In a host's part of the record: the nodes of other hosts."
    )

    @property
    def everyone(self) -> dict[str, NodeSpec]:
        """All nodes of the cluster, wherever they are."""
        return {**self.nodes, **self.elsewhere} if self.elsewhere else self.nodes

    @property
    def extra_files(self) -> tuple[Path, ...]:
        """The files of extra disks that are created here."""
        disks = (disk for node in self.nodes.values() for disk in node.extra_disks.values())
        return tuple(disk.path for disk in disks if not disk.existing)


class NodeIntent(Frozen):
    """What was requested of one node beyond its specification."""

    power: WantedPower = WantedPower.OFF
    boot_epoch: int = Field(default=0, ge=0, description="Power cycles requested; done once the host records them.")
    stop_mode: StopMode = Field(default=StopMode.SHUTDOWN, description="How it is stopped, for good or for a cycle.")
    resume_epoch: int = Field(default=0, ge=0, description="Resumes requested, and starts of a node that may stay off.")
    disk_revision: int = Field(default=0, ge=0, description="Counts new root disks: reverts and recreations.")
    instance: int = Field(default=0, ge=0, description="Counts recreations: cloud-init sees each as a new machine.")
    based_on: str | None = Field(default=None, description="The snapshot that the root disk stands on.")
    extra_revision: int = Field(default=0, ge=0, description="Counts reverts of the extra disks.")
    extra_based_on: str | None = None
    resumes_memory: bool = Field(default=False, description="This revision starts from the snapshot's memory.")


class Deletion(Frozen):
    """The cluster is to be deleted, and its disks too if requested."""

    remove_overlays: bool


class SnapshotIntent(Frozen):
    """A requested snapshot; it is taken once."""

    request: int
    include_memory: bool = False
    quiesce: bool = False
    for_forks: bool = Field(default=False, description="It was taken to fork from, and goes with the last fork.")


class ForkedFrom(Frozen):
    """The snapshot that a fork started from, and stands on; `store` and `generation` say in which record it was.

    Guests know themselves as nodes of `identity`. `lenders` are all clusters whose files the fork stands on.
    """

    cluster: str
    snapshot: str
    identity: str
    lenders: tuple[str, ...]
    store: str
    generation: int

    def __str__(self) -> str:
        return f"{self.cluster}@{self.snapshot}"


class ClusterRecord(Frozen):
    """Everything desired of one cluster. `generation` grows by one with each change."""

    cluster_name: str
    generation: int = 0
    spec: ClusterSpec
    nodes: dict[str, NodeIntent]
    first_revisions: dict[str, int] = Field(
        default={},
        description="First counters of removed nodes, should they return: snapshots hold their older disks.",
    )
    snapshots: dict[str, SnapshotIntent] = Field(default={}, description="By name.")
    snapshot_requests: int = Field(default=0, ge=0, description="Counts the snapshots ever requested.")
    faults: dict[str, WantedFault] = Field(default={}, description="By handle.")
    fault_requests: int = Field(default=0, ge=0, description="Counts the faults ever requested.")
    forked_from: ForkedFrom | None = None
    former_files: tuple[Path, ...] = Field(
        default=(), description="Files of extra disks that no node has now: kept until the disks are removed."
    )
    deletion: Deletion | None = None
    adopted: tuple[str, ...] = Field(
        default=(), description="Keys of the origins that were adopted; the empty one stands for marks without one."
    )
    consent: tuple[str, ...] = Field(
        default=(),
        description="Addresses of what this generation may lose for good, such as `layer/NODE/DISK`, `domain/NODE` or "
        "`snapshot/NAME`; `*` matches anything. The store writes it, and no later generation inherits it.",
    )

    @property
    def identity(self) -> str:
        """The name of the cluster that its guests know: that of the first one, in a fork."""
        return self.forked_from.identity if self.forked_from else self.cluster_name
