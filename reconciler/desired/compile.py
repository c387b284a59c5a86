"""From a record to the desired cluster document. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.host.cloud_init.codec import SeedInputs, render_hosts, seed_digest
from reconciler.model import names
from reconciler.model.document import (
    BackingFile,
    ClusterDocument,
    DirectBoot,
    Domain,
    DomainDisk,
    Layer,
    Network,
    Power,
    PowerState,
    Seed,
    Tap,
)
from reconciler.model.record import ClusterRecord, ImageFile, NodeIntent, NodeSpec, WantedPower
from reconciler.model.topology import Forward, VirtType

DOMAIN_TEMPLATE_VERSION = 1
"""Raised when the XML that we render changes: every domain is then defined anew, without a restart."""

SEED_TARGET = "vdz"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the desired state depends on besides the record: facts about the host."""

    kvm_usable: bool


def compile_document(record: ClusterRecord, facts: HostFacts, observed: ClusterDocument) -> ClusterDocument:
    """The state that the host shall have.

    A cluster that goes and keeps its disks wants of them exactly what is there: `observed` says what that is.
    """
    if record.deletion is None:
        return _present(record, facts)
    if record.deletion.remove_overlays:
        return ClusterDocument()
    return ClusterDocument(layers=observed.layers, seeds=observed.seeds)


def seed_inputs(record: ClusterRecord) -> dict[str, SeedInputs]:
    """What each node's seed is made from."""
    spec = record.spec
    hosts = render_hosts({name: node.ip for name, node in spec.nodes.items()}, record.cluster_name)
    gateway = spec.network.gateway if spec.network.forward is Forward.NAT else None
    return {
        name: SeedInputs(
            cluster_name=record.cluster_name,
            node=name,
            instance_id=f"{names.domain_uuid(record.cluster_name, name)}-r{record.nodes[name].disk_revision}",
            mac=node.mac,
            ip=node.ip,
            prefix_length=spec.network.subnet.prefixlen,
            gateway=gateway,
            hosts=hosts,
            ssh_user=spec.ssh.user,
            ssh_public_key=spec.ssh.public_key,
            user_data=node.user_data,
        )
        for name, node in spec.nodes.items()
    }


def _present(record: ClusterRecord, facts: HostFacts) -> ClusterDocument:
    spec = record.spec
    return ClusterDocument(
        networks={spec.network.name: _network(record)},
        layers={str(path): layer for name, node in spec.nodes.items() for path, layer in _layers(record, name, node)},
        seeds=_seeds(seed_inputs(record)),
        domains={name: _domain(record, name, node, facts) for name, node in spec.nodes.items()},
        power={name: _power(record.nodes[name]) for name in spec.nodes},
        taps={
            name: Tap(bridge=spec.network.bridge)
            for name in spec.nodes
            if record.nodes[name].power is not WantedPower.OFF
        },
    )


def _network(record: ClusterRecord) -> Network:
    network = record.spec.network
    return Network(
        bridge=network.bridge,
        gateway=str(network.gateway),
        prefix_length=network.subnet.prefixlen,
        forward=network.forward,
        active=True,
    )


def _layers(record: ClusterRecord, name: str, node: NodeSpec) -> list[tuple[Path, Layer]]:
    root = Layer(
        node=name,
        disk=names.ROOT_DISK,
        size_bytes=node.base_image.size_bytes,
        backing=node.base_image.path,
        backing_format=node.base_image.format,
    )
    extra = [
        (disk.path, Layer(node=name, disk=target, size_bytes=disk.size_bytes))
        for target, disk in node.extra_disks.items()
        if not disk.existing
    ]
    return [(_root_layer_path(record, name), root), *extra]


def _root_layer_path(record: ClusterRecord, node: str) -> Path:
    revision = record.nodes[node].disk_revision
    return names.layer_path(record.spec.overlay_dir, record.cluster_name, node, names.ROOT_DISK, revision)


def _seeds(inputs: Mapping[str, SeedInputs]) -> dict[str, Seed]:
    """Seeds by node; the text that all of them share is digested once."""
    if not inputs:
        return {}
    hosts_digest = hashlib.sha256(next(iter(inputs.values())).hosts.encode()).hexdigest()
    return {node: Seed(digest=seed_digest(of_node, hosts_digest)) for node, of_node in inputs.items()}


def _domain(record: ClusterRecord, name: str, node: NodeSpec, facts: HostFacts) -> Domain:
    cluster, overlay_dir = record.cluster_name, record.spec.overlay_dir
    virt_type = _virt_type(node.virt_type, facts)
    return Domain(
        uuid=names.domain_uuid(cluster, name),
        role=node.role,
        vcpus=node.vcpus,
        memory_mb=node.memory_mb,
        virt_type=virt_type,
        cpu=node.cpu or ("host" if virt_type == VirtType.KVM else "maximum"),
        disks=_disks(record, name, node),
        network=record.spec.network.name,
        mac=node.mac,
        tap=node.tap,
        console=names.console_path(overlay_dir, cluster, name),
        boot=node.boot and DirectBoot(kernel=node.boot.kernel, initrd=node.boot.initrd, cmdline=node.boot.cmdline),
        template=DOMAIN_TEMPLATE_VERSION,
    )


def _virt_type(wanted: VirtType, facts: HostFacts) -> str:
    if wanted is VirtType.AUTO:
        return VirtType.KVM if facts.kvm_usable else VirtType.QEMU
    return wanted


def _disks(record: ClusterRecord, name: str, node: NodeSpec) -> dict[str, DomainDisk]:
    root = DomainDisk(path=_root_layer_path(record, name), format="qcow2", backing=(_backing(node.base_image),))
    extra = {
        target: DomainDisk(path=disk.path, format=disk.format, bus=disk.bus)
        for target, disk in node.extra_disks.items()
    }
    seed = DomainDisk(
        path=names.seed_path(record.spec.overlay_dir, record.cluster_name, name), format="raw", read_only=True
    )
    return {names.ROOT_DISK: root, **extra, SEED_TARGET: seed}


def _backing(image: ImageFile) -> BackingFile:
    return BackingFile(path=image.path, format=image.format)


def _power(intent: NodeIntent) -> Power:
    return Power(
        state=PowerState(intent.power.value),
        boot_epoch=intent.boot_epoch,
        resume_epoch=intent.resume_epoch,
        stop_mode=intent.stop_mode,
    )
