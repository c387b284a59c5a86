"""The topology file as written by a user: contract, section 2.

The models hold what a file may say; what only shows by comparing several fields, or by looking at the host, is
checked in `reconciler.desired`.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from reconciler.model.base import Frozen
from reconciler.model.names import (
    CLUSTER_NAME_MAX_LENGTH,
    INTERFACE_NAME_MAX_LENGTH,
    LABEL_PATTERN,
    NODE_NAME_MAX_LENGTH,
)

ClusterName = Annotated[str, StringConstraints(pattern=rf"^{LABEL_PATTERN}$", max_length=CLUSTER_NAME_MAX_LENGTH)]
NodeName = Annotated[str, StringConstraints(pattern=rf"^{LABEL_PATTERN}$", max_length=NODE_NAME_MAX_LENGTH)]
NetworkName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=63)]
InterfaceName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=INTERFACE_NAME_MAX_LENGTH)
]
SnapshotName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


class VirtType(StrEnum):
    """How a node's CPU runs: `auto` takes KVM where it truly works, and emulation elsewhere."""

    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"


class Forward(StrEnum):
    """Whether guests reach the outside through the host (`nat`) or only the host and each other (`isolated`)."""

    NAT = "nat"
    ISOLATED = "isolated"


class DiskBus(StrEnum):
    """The bus of an extra disk."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class NetworkTopology(Frozen):
    """The one network of a cluster; the first address of the subnet is the host's."""

    name: NetworkName
    bridge: InterfaceName
    subnet: IPv4Network
    forward: Forward = Forward.NAT


class ExtraDisk(Frozen):
    """A disk beside the root disk, made as qcow2 of this size at `path` when nothing is there."""

    path: Path
    size_gb: Annotated[int, Field(ge=1, le=65536, strict=True)]
    bus: DiskBus = DiskBus.VIRTIO
    existing: bool = False


class Boot(Frozen):
    """Direct kernel boot: the host's files that QEMU loads itself, without a boot loader."""

    kernel: Path
    initrd: Path | None = None
    cmdline: str = "root=/dev/vda console=ttyS0"


class NodeTopology(Frozen):
    """One machine. What is None here is taken from the cluster."""

    name: NodeName
    role: str = "node"
    vcpus: Annotated[int, Field(ge=1, le=512, strict=True)]
    memory_mb: Annotated[int, Field(ge=64, le=16 * 1024 * 1024, strict=True)]
    ip: IPv4Address
    extra_disks: tuple[ExtraDisk, ...] = ()
    base_image: Path | None = None
    boot: Boot | None = None
    virt_type: VirtType | None = None
    cpu: str | None = None
    user_data: dict[str, Any] | None = None


class SshTopology(Frozen):
    """How to log in. What is None here is taken from the configuration."""

    key_path: Path | None = None
    user: str | None = None
    connect_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30


class Topology(Frozen):
    """A whole topology file."""

    cluster_name: ClusterName
    base_image: Path
    overlay_dir: Path | None = None
    network: NetworkTopology
    nodes: Annotated[tuple[NodeTopology, ...], Field(min_length=1)]
    ssh: SshTopology = SshTopology()
    snapshots: dict[str, SnapshotName] = {}
    boot: Boot | None = None
    virt_type: VirtType = VirtType.AUTO
    cpu: str | None = None
    user_data: dict[str, Any] = {}
