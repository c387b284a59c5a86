"""Topology and what was found on the host -> the resolved specification of a cluster. Pure."""

from reconciler.desired.declared_faults import resolve_faults
from reconciler.desired.found_files import FoundFiles
from reconciler.host.cloud_init.cloud_config import merge_cloud_config
from reconciler.model.names import extra_disk_target, mac_address, tap_name
from reconciler.model.record import (
    BYTES_PER_GB,
    BootSpec,
    ClusterSpec,
    ExtraDiskSpec,
    ImageFile,
    NetworkSpec,
    NodeSpec,
    SshSpec,
)
from reconciler.model.topology import DiskFormat, ExtraDisk, NodeTopology, Topology
from reconciler.settings import Settings


def resolve_topology(topology: Topology, host_files: FoundFiles, settings: Settings) -> ClusterSpec:
    """Fill in everything that a topology omits; `host_files` has no findings and covers this topology."""
    return ClusterSpec(
        overlay_dir=topology.overlay_dir or settings.overlay_dir,
        network=_network(topology),
        nodes={node.name: _node(topology, node, host_files) for node in topology.nodes},
        ssh=_ssh(topology, host_files, settings),
        snapshot_names=topology.snapshots,
        drift=topology.drift,
        faults=resolve_faults(topology.faults),
        placement=topology.placement,
    )


def _network(topology: Topology) -> NetworkSpec:
    network = topology.network
    return NetworkSpec(
        name=network.name,
        bridge=network.bridge,
        subnet=network.subnet,
        gateway=network.subnet.network_address + 1,
        forward=network.forward,
    )


def _ssh(topology: Topology, host_files: FoundFiles, settings: Settings) -> SshSpec:
    assert host_files.public_key is not None, "without findings the key was found"
    return SshSpec(
        user=topology.ssh.user or settings.ssh_user,
        key_path=topology.ssh.key_path or settings.ssh_key_path,
        public_key=host_files.public_key,
        connect_timeout_s=topology.ssh.connect_timeout_s,
    )


def _node(topology: Topology, node: NodeTopology, host_files: FoundFiles) -> NodeSpec:
    disks = enumerate(node.extra_disks)
    image = host_files.images[node.base_image or topology.base_image]
    return NodeSpec(
        role=node.role,
        vcpus=node.vcpus,
        memory_mb=node.memory_mb,
        ip=node.ip,
        mac=mac_address(topology.cluster_name, node.name),
        tap=tap_name(topology.cluster_name, node.name),
        base_image=image,
        disk_gb=_grown(node.disk_gb or topology.disk_gb, image),
        extra_disks={extra_disk_target(index): _extra_disk(disk, host_files) for index, disk in disks},
        boot=_boot(topology, node, host_files),
        virt_type=node.virt_type or topology.virt_type,
        firmware=node.firmware or topology.firmware,
        video=topology.video if node.video is None else node.video,
        restart=node.restart or topology.restart,
        start=node.start or topology.start,
        cpu=node.cpu if "cpu" in node.model_fields_set else topology.cpu,
        user_data=merge_cloud_config(topology.user_data, node.user_data or {}),
        host=node.host or "",
    )


def _grown(disk_gb: int | None, image: ImageFile) -> int | None:
    """None if the requested size is that of the image anyway."""
    return None if disk_gb is None or disk_gb * BYTES_PER_GB == image.size_bytes else disk_gb


def _boot(topology: Topology, node: NodeTopology, host_files: FoundFiles) -> BootSpec | None:
    # `boot: null` in a node opts it out of the cluster's; a node without `boot` inherits.
    boot = node.boot if "boot" in node.model_fields_set else topology.boot
    if boot is None:
        return None
    return BootSpec(**dict(boot), identity=" ".join(host_files.boot_files[path] for path in boot.files))


def _extra_disk(disk: ExtraDisk, host_files: FoundFiles) -> ExtraDiskSpec:
    if disk.existing:
        found = host_files.disks[disk.path]
        return ExtraDiskSpec(
            path=disk.path,
            size_bytes=found.size_bytes,
            bus=disk.bus,
            existing=True,
            format=found.format,
            shared=disk.shared,
        )
    assert disk.size_gb is not None, "a checked topology sizes every disk that is to be created"
    return ExtraDiskSpec(
        path=disk.path,
        size_bytes=disk.size_gb * BYTES_PER_GB,
        bus=disk.bus,
        existing=False,
        format=DiskFormat.RAW if disk.shared else DiskFormat.QCOW2,
        shared=disk.shared,
    )
