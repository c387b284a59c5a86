"""The topology file as written by a user: contract, section 2.

The models hold what a file may say; what only shows by comparing several fields, or by looking at the host, is
checked in `reconciler.desired`. Descriptions are for people: they become the JSON Schema that editors show.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, model_validator

from reconciler.model.base import Frozen
from reconciler.model.drift import DriftPolicy, DriftSetting
from reconciler.model.faults import CutMode, Direction, ShapeName
from reconciler.model.fields import (
    Address,
    Amount,
    CloudConfig,
    ClusterName,
    Count,
    CpuModel,
    DiskGb,
    HostName,
    HostPath,
    InterfaceName,
    KernelCmdline,
    MemoryMb,
    NetworkName,
    NodeName,
    RoleText,
    SnapshotName,
    Subnet,
    UserName,
)
from reconciler.model.links import Distribution

FREE_KEY_PREFIX = "x-"
"""Begins the keys at the top of a topology that are only there to be named by anchors, as in Compose files."""


class VirtType(StrEnum):
    """How a node's CPU runs: `auto` takes KVM where it truly works, and emulation elsewhere."""

    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"


class Firmware(StrEnum):
    """What a machine starts with: the BIOS, or UEFI without Secure Boot."""

    BIOS = "bios"
    UEFI = "uefi"


class RestartPolicy(StrEnum):
    """Whether a node that ends without being asked to is started again.

    A guest that shuts itself down stays off under `on-crash` and `never`; one whose QEMU ends, only under `never`.
    """

    ALWAYS = "always"
    ON_CRASH = "on-crash"
    NEVER = "never"


class Forward(StrEnum):
    """Whether guests reach the outside through the host (`nat`) or only the host and each other (`isolated`)."""

    NAT = "nat"
    ISOLATED = "isolated"


class DiskBus(StrEnum):
    """The bus of an extra disk."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class DiskFormat(StrEnum):
    """How a disk of the user's is read: as an image of qcow2's, or byte for byte."""

    QCOW2 = "qcow2"
    RAW = "raw"


class NetworkTopology(Frozen):
    """The one network of a cluster; the first address of the subnet is the host's."""

    name: NetworkName = Field(description="Name of the libvirt network.", examples=["clusternet-example"])
    bridge: InterfaceName = Field(
        description="Name of the bridge that is created on the host; at most 15 characters.",
        examples=["virbr-example0"],
    )
    subnet: Subnet = Field(
        description="IPv4 subnet, /30 or larger; its first address is the host's.", examples=["192.168.100.0/24"]
    )
    forward: Forward = Field(
        default=Forward.NAT,
        description="`nat`: guests reach the outside through the host; `isolated`: only the host and each other.",
    )


class ExtraDisk(Frozen):
    """A disk beside the root disk, made of this size at `path` when nothing is there: qcow2, or raw if it is shared."""

    path: HostPath = Field(
        description="Where the disk's file is or will be; relative to the topology file.",
        examples=["/var/lib/vmcluster/disks/data0.qcow2"],
    )
    size_gb: DiskGb | None = Field(
        default=None,
        description="Size in GiB. Needed unless `existing` is true, when the file's own size counts.",
        examples=[20],
    )
    bus: DiskBus = Field(
        default=DiskBus.VIRTIO, description="What the guest sees the disk on; `handle` tells under which name."
    )
    existing: StrictBool = Field(
        default=False,
        description="The file is yours: it is used as it is (qcow2 or raw), and never deleted.",
    )
    format: DiskFormat | None = Field(
        default=None,
        description="Of an existing file: `qcow2` or `raw`; left out: what it is when it is first used, and no other"
        " later, whatever guests write to it.",
    )
    shared: StrictBool = Field(
        default=False,
        description="Several nodes name this file and write to it at the same time. It is raw: an existing one, or made"
        " with that size. It is no part of snapshots, which the cluster has none of while it has such a disk.",
    )


class Boot(Frozen):
    """Direct kernel boot: the host's files that QEMU loads itself, without a boot loader."""

    kernel: HostPath = Field(
        description="Kernel image (bzImage); relative to the topology file.",
        examples=["/var/lib/vmcluster/images/base.vmlinuz"],
    )
    initrd: HostPath | None = Field(default=None, description="Initial ramdisk; relative to the topology file.")
    cmdline: KernelCmdline = Field(
        default="root=/dev/vda console=ttyS0", description="Kernel command line; the root disk is /dev/vda."
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """What is loaded: the kernel, then the initrd, if any."""
        return (self.kernel,) if self.initrd is None else (self.kernel, self.initrd)


class NodeTopology(Frozen):
    """One machine. What it leaves out is taken from the cluster."""

    name: HostName = Field(description="Host name; unique in the cluster.", examples=["worker-0"])
    role: RoleText = Field(default="node", description="Free text, passed on to consumers.")
    vcpus: Annotated[int, Field(ge=1, le=512, strict=True)] = Field(description="Number of virtual CPUs.", examples=[2])
    memory_mb: MemoryMb = Field(description="Memory in MiB.", examples=[512])
    ip: Address = Field(
        description="Static address inside the subnet; unique, and not the first one, which is the host's.",
        examples=["192.168.100.10"],
    )
    extra_disks: tuple[ExtraDisk, ...] = Field(
        default=(), description="Disks beside the root disk, in order; at most 24."
    )
    base_image: HostPath | None = Field(
        default=None, description="Disk image of this node instead of the cluster's; never written to."
    )
    disk_gb: DiskGb | None = Field(default=None, description="`disk_gb` of this node instead of the cluster's.")
    boot: Boot | None = Field(
        default=None,
        description="Direct kernel boot of this node, in place of the cluster's `boot`; null: boot from disk.",
    )
    virt_type: VirtType | None = Field(default=None, description="`virt_type` of this node instead of the cluster's.")
    firmware: Firmware | None = Field(default=None, description="`firmware` of this node instead of the cluster's.")
    restart: RestartPolicy | None = Field(default=None, description="`restart` of this node instead of the cluster's.")
    cpu: CpuModel | None = Field(
        default=None, description="`cpu` of this node instead of the cluster's; null: chosen by virt_type."
    )
    user_data: CloudConfig | None = Field(
        default=None,
        description="cloud-config merged over the cluster's: mappings merge, lists append, single values win.",
    )


class PartitionTopology(Frozen):
    """Nothing passes between groups of nodes."""

    shape: ShapeName = Field(
        default=ShapeName.GROUPS,
        description="`groups` as named; over all nodes `halves`, `one`, `bridge`, `majorities-ring`; or a `grudge`.",
    )
    groups: tuple[tuple[NodeName, ...], ...] | None = Field(
        default=None,
        description="Two or more groups of nodes, each of which hears only itself; for `bridge` two, with its `node`.",
    )
    node: NodeName | None = Field(default=None, description="The node of the shapes `one` and `bridge`.")
    grudge: dict[NodeName, tuple[NodeName, ...]] | None = Field(
        default=None, description="For shape `grudge`: receiving node -> the senders that it does not hear."
    )
    direction: Direction = Field(
        default=Direction.BOTH, description="Of two sides, `to` cuts only what the first sends to the second."
    )
    mode: CutMode = Field(
        default=CutMode.DROP, description="`drop` frames, or `link-down`: pull the cables of nodes cut from all others."
    )
    seed: Annotated[int, Field(strict=True)] | None = Field(
        default=None, description="Shuffles the nodes before a shape is laid over them."
    )


class ImpairTopology(Frozen):
    """What is done to packets that one node sends to others; zero is "not asked for"."""

    source: NodeName = Field(description="The node that sends.", examples=["worker-0"])
    target: tuple[NodeName, ...] | None = Field(default=None, description="Who receives; left out: all other nodes.")
    direction: Direction = Field(
        default=Direction.TO, description="`to` hits what the source sends, `from` what is sent to it."
    )
    include_host: StrictBool = Field(default=False, description="Traffic with the host too, by which SSH goes.")
    delay_ms: Amount = Field(default=0, description="Milliseconds added to each packet's way.")
    jitter_ms: Amount = Field(default=0, description="Milliseconds by which the delay varies.")
    delay_correlation_pct: Amount = Field(default=0, description="How much a packet's delay is like the last one's.")
    distribution: Distribution = Field(
        default=Distribution.UNIFORM, description="How the delay varies within its jitter."
    )
    loss_pct: Amount = Field(default=0, description="Percent of packets that never arrive.")
    loss_correlation_pct: Amount = Field(default=0, description="How much a packet's fate is like the last one's.")
    duplicate_pct: Amount = Field(default=0, description="Percent of packets that arrive twice.")
    corrupt_pct: Amount = Field(default=0, description="Percent of packets that arrive with one bit flipped.")
    reorder_pct: Amount = Field(default=0, description="Percent of packets that overtake the delayed ones.")
    reorder_correlation_pct: Amount = Field(default=0, description="How much overtaking comes in bursts.")
    reorder_gap: Count = Field(default=0, description="Only each packet of this number may overtake.")
    rate_kbit: Count = Field(default=0, description="Bits that pass per second, in thousands.")
    limit_packets: Count = Field(default=0, description="Packets that may wait; more are dropped.")


class FaultTopology(Frozen):
    """A network fault: `apply` makes it, and heals it when it has left the file."""

    name: NodeName = Field(description="What the fault is called; unique in the cluster.", examples=["split"])
    partition: PartitionTopology | None = Field(default=None, description="Nothing passes between groups of nodes.")
    impair: ImpairTopology | None = Field(default=None, description="What is done to packets that do get through.")
    duration_s: Amount | None = Field(
        default=None, description="Seconds after which it heals by itself; left out: when it leaves the file."
    )


class SshTopology(Frozen):
    """How to log in. What it leaves out is taken from the configuration."""

    key_path: HostPath | None = Field(
        default=None,
        description="Private SSH key; default `ssh_key_path` of the configuration. The public half is read beside it.",
    )
    user: UserName | None = Field(
        default=None, description="User to log in as; default `ssh_user` of the configuration."
    )
    connect_timeout_s: Annotated[float, Field(gt=0, le=3600, strict=True, allow_inf_nan=False)] = Field(
        default=30, description="Seconds that one SSH connection may take."
    )


class Topology(Frozen):
    """A cluster of virtual machines: a vmcluster topology file.

    Relative paths are relative to the directory of the topology file; `~/` is the home directory of the user
    who runs the command. Keys that begin with `x-` are left alone: a place for anchors.
    """

    model_config = ConfigDict(json_schema_extra={"patternProperties": {f"^{FREE_KEY_PREFIX}": {}}})

    @model_validator(mode="before")
    @classmethod
    def _without_free_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not str(key).startswith(FREE_KEY_PREFIX)}

    cluster_name: ClusterName = Field(
        description="Name of the cluster; lower-case letters, digits and '-', at most 40 characters.",
        examples=["example-3node"],
    )
    base_image: HostPath = Field(
        description="Disk image (qcow2 or raw) that the nodes' root disks start from; never written to.",
        examples=["/var/lib/vmcluster/images/base.qcow2"],
    )
    overlay_dir: HostPath | None = Field(
        default=None,
        description="Where root disks, seeds and host keys are kept; default `overlay_dir` of the configuration.",
    )
    network: NetworkTopology = Field(description="The one network of the cluster.")
    nodes: Annotated[tuple[NodeTopology, ...], Field(min_length=1)] = Field(description="The machines; at least one.")
    ssh: SshTopology = Field(default=SshTopology(), description="How to log in to the nodes.")
    snapshots: dict[SnapshotName, SnapshotName] = Field(
        default={},
        description="Logical name -> snapshot name; the logical name is usable wherever a snapshot is named.",
    )
    drift: DriftSetting = Field(
        default=DriftPolicy(),
        description="What `vmcluster watch` does about differences that nobody asked for: `repair`, `report` or"
        " `ignore`, for all kinds of resources or for each.",
    )
    faults: tuple[FaultTopology, ...] = Field(
        default=(), description="Network faults that hold while they stand here; see the section on faults."
    )
    disk_gb: DiskGb | None = Field(
        default=None,
        description="Size of the root disks in GiB, at least that of the image; left out: that of the image. The root"
        " file system grows to it at first boot.",
        examples=[20],
    )
    boot: Boot | None = Field(default=None, description="Direct kernel boot of all nodes; left out: boot from disk.")
    virt_type: VirtType = Field(
        default=VirtType.AUTO, description="`auto` takes KVM where it truly works, and emulation (`qemu`) elsewhere."
    )
    firmware: Firmware = Field(
        default=Firmware.BIOS,
        description="`bios`, or `uefi` without Secure Boot, which needs the host's package `ovmf`, and an image with an"
        " EFI system partition or a `boot` kernel.",
    )
    restart: RestartPolicy = Field(
        default=RestartPolicy.ALWAYS,
        description="What becomes of a node that turns itself off: `always` starts it again, under `on-crash` and "
        "`never` it stays off until it is started by a command. A node that ends by a failure stays off under `never`.",
    )
    cpu: CpuModel | None = Field(
        default=None,
        description="CPU model: `host`, `maximum`, or a model's name as libvirt knows it; left out: by virt_type.",
    )
    user_data: CloudConfig = Field(
        default={}, description="cloud-config for all nodes, merged with what this program needs."
    )
