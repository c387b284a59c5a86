"""The topology file as a user writes it: contract, section 2.

The models cover what the file itself can show; what needs a comparison of fields, or a look at the host, is checked
in `reconciler.desired`. Descriptions are for people: they end up in the JSON Schema that editors show.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, model_validator

from reconciler.model.base import Frozen
from reconciler.model.drift import DriftPolicy, DriftSetting
from reconciler.model.faults import FaultTopology
from reconciler.model.fields import (
    Address,
    BaseImage,
    CloudConfig,
    ClusterName,
    CpuModel,
    DiskGb,
    HostName,
    HostPath,
    InterfaceName,
    KernelCmdline,
    MemberName,
    MemoryMb,
    NetworkName,
    RoleText,
    SnapshotName,
    Subnet,
    UserName,
)
from reconciler.model.placement import PlacementPolicy, PlacementSetting

FREE_KEY_PREFIX = "x-"
"""Prefix of top-level keys in a topology that only hold YAML anchors, as in Compose files."""


class VirtType(StrEnum):
    """How a node's CPU runs: `auto` uses KVM if it really works, and emulation otherwise."""

    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"


class Firmware(StrEnum):
    """A machine's firmware: BIOS, or UEFI without Secure Boot."""

    BIOS = "bios"
    UEFI = "uefi"


class RestartPolicy(StrEnum):
    """Whether a node that ends without a request is started again.

    After shutting itself down a guest stays off under `on-crash` and `never`; after its QEMU ends, only under `never`.
    """

    ALWAYS = "always"
    ON_CRASH = "on-crash"
    NEVER = "never"


class StartMode(StrEnum):
    """How a node with a new root disk starts: by booting, or as a clone of a template."""

    AUTO = "auto"
    BOOT = "boot"
    CLONE = "clone"


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
    """How one of the user's disks is read: as a qcow2 image, or byte for byte."""

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
    """A disk besides the root disk, created at `path` if nothing is there: qcow2, or raw if it is shared."""

    path: HostPath = Field(
        description="The disk's file, existing or to be created; relative to the topology file.",
        examples=["/var/lib/vmcluster/disks/data0.qcow2"],
    )
    size_gb: DiskGb | None = Field(
        default=None,
        description="Size in GiB. Required unless `existing` is true; then the size of the file counts.",
        examples=[20],
    )
    bus: DiskBus = Field(
        default=DiskBus.VIRTIO, description="The disk's bus in the guest; `handle` shows its path there."
    )
    existing: StrictBool = Field(
        default=False,
        description="The file is yours: it is used as it is (qcow2 or raw), and never deleted.",
    )
    format: DiskFormat | None = Field(
        default=None,
        description="Format of an existing file: `qcow2` or `raw`; default: detected at first use, then fixed whatever"
        " guests write to it.",
    )
    shared: StrictBool = Field(
        default=False,
        description="Several nodes name this file and write to it at the same time. It is raw: existing, or created"
        " with that size. Snapshots do not include it; while a cluster has such a disk it cannot have snapshots.",
    )


class Boot(Frozen):
    """Direct kernel boot: files on the host that QEMU loads itself, without a boot loader."""

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
        """The files to load: the kernel, then the initrd, if any."""
        return (self.kernel,) if self.initrd is None else (self.kernel, self.initrd)


class NodeTopology(Frozen):
    """One machine. Anything it omits is taken from the cluster."""

    name: HostName = Field(description="Host name; unique in the cluster.", examples=["worker-0"])
    role: RoleText = Field(default="node", description="Free text, passed on to consumers.")
    vcpus: Annotated[int, Field(ge=1, le=512, strict=True)] = Field(description="Number of virtual CPUs.", examples=[2])
    memory_mb: MemoryMb = Field(description="Memory in MiB.", examples=[512])
    ip: Address = Field(
        description="Static address inside the subnet; unique, and not the first one, which is the host's.",
        examples=["192.168.100.10"],
    )
    extra_disks: tuple[ExtraDisk, ...] = Field(
        default=(), description="Disks besides the root disk, in order; at most 24."
    )
    base_image: BaseImage | None = Field(
        default=None, description="Disk image of this node instead of the cluster's; never written to."
    )
    disk_gb: DiskGb | None = Field(default=None, description="`disk_gb` of this node instead of the cluster's.")
    boot: Boot | None = Field(
        default=None,
        description="Direct kernel boot of this node instead of the cluster's `boot`; null: boot from disk.",
    )
    virt_type: VirtType | None = Field(default=None, description="`virt_type` of this node instead of the cluster's.")
    firmware: Firmware | None = Field(default=None, description="`firmware` of this node instead of the cluster's.")
    video: StrictBool | None = Field(default=None, description="`video` of this node instead of the cluster's.")
    restart: RestartPolicy | None = Field(default=None, description="`restart` of this node instead of the cluster's.")
    start: StartMode | None = Field(default=None, description="`start` of this node instead of the cluster's.")
    cpu: CpuModel | None = Field(
        default=None, description="`cpu` of this node instead of the cluster's; null: chosen by virt_type."
    )
    host: MemberName | None = Field(
        default=None,
        description="The host that the node runs on, where the store has several; default: chosen by `placement`.",
        examples=["lab-2"],
    )
    user_data: CloudConfig | None = Field(
        default=None,
        description="cloud-config merged over the cluster's: mappings merge, lists append, single values override.",
    )


class SshTopology(Frozen):
    """How to log in. Anything it omits is taken from the configuration."""

    key_path: HostPath | None = Field(
        default=None,
        description="Private SSH key; default `ssh_key_path` of the configuration. The public half is read beside it.",
    )
    user: UserName | None = Field(
        default=None, description="User to log in as; default `ssh_user` of the configuration."
    )
    connect_timeout_s: Annotated[float, Field(gt=0, le=3600, strict=True, allow_inf_nan=False)] = Field(
        default=30, description="Time limit in seconds for one SSH connection."
    )


class Topology(Frozen):
    """A cluster of virtual machines: a vmcluster topology file.

    Relative paths are relative to the directory of the topology file; `~/` is the home directory of the user
    who runs the command. Keys that start with `x-` are ignored: a place for YAML anchors.
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
    base_image: BaseImage = Field(
        description="Disk image (qcow2 or raw) that the nodes' root disks start from, never written to: a path, or the"
        " name of an image in `image_dir`. A file without a suffix is written with its directory, as in `./disk`.",
        examples=["/var/lib/vmcluster/images/base.qcow2", "debian-12"],
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
        description="Logical name -> snapshot name; the logical name works wherever a snapshot is named.",
    )
    drift: DriftSetting = Field(
        default=DriftPolicy(),
        description="What `vmcluster watch` does about drift: `repair`, `report` or"
        " `ignore`, for all kinds of resources or for each.",
    )
    faults: tuple[FaultTopology, ...] = Field(
        default=(), description="Network faults, active while they are listed here; see the section on faults."
    )
    disk_gb: DiskGb | None = Field(
        default=None,
        description="Size of the root disks in GiB, at least that of the image; default: that of the image. The root"
        " file system grows to it at first boot.",
        examples=[20],
    )
    boot: Boot | None = Field(default=None, description="Direct kernel boot of all nodes; default: boot from disk.")
    virt_type: VirtType = Field(
        default=VirtType.AUTO, description="`auto` uses KVM if it really works, and emulation (`qemu`) otherwise."
    )
    firmware: Firmware = Field(
        default=Firmware.BIOS,
        description="`bios`, or `uefi` without Secure Boot; UEFI needs the host's package `ovmf`, and an image with an"
        " EFI system partition or a `boot` kernel.",
    )
    video: StrictBool = Field(
        default=False,
        description="A VGA card, so that screenshots can be taken; nobody can connect to the screen.",
    )
    restart: RestartPolicy = Field(
        default=RestartPolicy.ALWAYS,
        description="What happens to a node that turns itself off: `always` starts it again, under `on-crash` and "
        "`never` it stays off until a command starts it. A node that ends by a failure stays off under `never`.",
    )
    cpu: CpuModel | None = Field(
        default=None,
        description="CPU model: `host`, `maximum`, or a model name known to libvirt; default: depends on `virt_type`.",
    )
    start: StartMode = Field(
        default=StartMode.AUTO,
        description="How a node with a new root disk starts. `clone`: from a template, a machine that booted once up to"
        " where it needs an identity, kept with its memory. `boot`: by booting. `auto`: as a clone if there is a"
        " template, or if two nodes or more can start from one that is then built; else by booting.",
    )
    placement: PlacementSetting = Field(
        default=PlacementPolicy(),
        description="How hosts are chosen for nodes without `host`, where the store has several: `spread` (over as"
        " many as possible), `pack` (on as few), or labels that the hosts must have. A node then stays where it is.",
    )
    user_data: CloudConfig = Field(
        default={}, description="cloud-config for all nodes, merged with what vmcluster itself needs."
    )
