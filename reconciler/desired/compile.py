"""From a record to the desired cluster document. Pure."""

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.desired.chains import (
    ActiveDisk,
    SharedInSnapshot,
    SnapshotMissing,
    active_disks,
    found_in,
    needed_layers,
)
from reconciler.desired.desired_network import mtu_of, network_of
from reconciler.desired.ended_nodes import with_ended_off
from reconciler.desired.fork_bases import held_by_forks, kept_for_forks, lent_snapshot
from reconciler.desired.known_marks import known_marks
from reconciler.desired.starts import may_be_cloned, template_of, why_booted
from reconciler.error_codes import ErrorCode
from reconciler.faults.combine import fold, wanted_at
from reconciler.faults.compile_links import same_inbound, without_lapsing_cuts
from reconciler.faults.explain import causes_of
from reconciler.host.cloud_init.cloud_config import fqdn_of
from reconciler.host.cloud_init.etc_hosts import render_hosts
from reconciler.host.cloud_init.seed_codec import SeedInputs, seed_digest
from reconciler.model import names
from reconciler.model.document import (
    ClusterDocument,
    DirectBoot,
    Domain,
    DomainDisk,
    Layer,
    NodeLinks,
    Power,
    PowerState,
    Seed,
    Snapshot,
    Tap,
    Unknown,
)
from reconciler.model.links import Inbound
from reconciler.model.origin import Lineage
from reconciler.model.record import (
    ClusterRecord,
    NodeIntent,
    NodeSpec,
    WantedPower,
)
from reconciler.model.topology import DiskBus, Firmware, Forward, StartMode, VirtType

DOMAIN_TEMPLATE_VERSION = 3
"""Incremented when the XML that we render changes: every domain is then redefined, without a restart."""

SEED_TARGET = "vdz"

_NO_LINEAGE = Lineage()


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the desired state depends on besides the record: facts about the host."""

    kvm_usable: bool
    kvm_reason: str = ""
    memory_mb: int | None = None


def needs_kvm_verdict(record: ClusterRecord) -> bool:
    """Whether any node depends on how well KVM works on the host: one with `auto` or `kvm`."""
    return any(node.virt_type is not VirtType.QEMU for node in record.spec.nodes.values())


def warnings_for(record: ClusterRecord, facts: HostFacts) -> tuple[str, ...]:
    """What will work, but less well than the user may expect, with the remedy."""
    return (*_warnings_of_kvm(record, facts), *_warnings_of_memory(record, facts))


def _warnings_of_kvm(record: ClusterRecord, facts: HostFacts) -> Iterator[str]:
    demanding = sorted(name for name, node in record.spec.nodes.items() if node.virt_type is VirtType.KVM)
    if demanding and not facts.kvm_usable:
        yield (
            f"{', '.join(demanding)}: `virt_type: kvm` is set, but KVM is slower than emulation here or does not work: "
            f"nodes may never boot ({facts.kvm_reason}): `virt_type: auto` uses whichever is faster"
        )


def _warnings_of_memory(record: ClusterRecord, facts: HostFacts) -> Iterator[str]:
    wanted_mb = sum(node.memory_mb for node in record.spec.nodes.values())
    if facts.memory_mb is not None and wanted_mb > facts.memory_mb:
        yield (
            f"the nodes have {wanted_mb} MiB of memory together, and the host {facts.memory_mb} MiB: it may kill "
            "their machines once they use it: lower `memory_mb`"
        )


def compile_document(
    record: ClusterRecord,
    facts: HostFacts,
    observed: ClusterDocument,
    made: frozenset[int] = frozenset(),
    lineage: Lineage = _NO_LINEAGE,
    *,
    now: datetime,
) -> ClusterDocument:
    """The desired state of the host at time `now`, which only decides which faults have expired.

    From the `observed` state it takes how deep the disks' layers are, and which snapshots they stand on. The requests
    in `made` were fulfilled once: if such a snapshot is gone it is lost, and is not taken again. `lineage` tells which
    of the observed origins belong to the record's own history.

    For a cluster that is deleted with its disks kept, the desired disks are exactly the `observed` ones.
    """
    marks = known_marks(record, lineage, observed)
    return _wanted(record, facts, observed, made, now).model_copy(update={"marks": marks})


def _wanted(
    record: ClusterRecord, facts: HostFacts, observed: ClusterDocument, made: frozenset[int], now: datetime
) -> ClusterDocument:
    if record.deletion is None:
        record = with_ended_off(record, observed)
        links = _links(record, observed, now)
        return _present(record, facts, observed, made).model_copy(update={"links": links})
    if record.deletion.remove_overlays:
        return ClusterDocument(layers=held_by_forks(observed), seeds=observed.seeds if observed.forks else {})
    files = {kind: getattr(observed, kind) for kind in ("layers", "seeds", "snapshots", "forks")}
    return ClusterDocument(**files)


def seed_inputs(record: ClusterRecord) -> dict[str, SeedInputs]:
    """The inputs from which each node's seed is made."""
    spec = record.spec
    hosts = _hosts(record)
    gateway = spec.network.gateway if spec.network.forward is Forward.NAT else None
    return {
        name: SeedInputs(
            cluster_name=record.cluster_name,
            node=name,
            instance_id=f"{names.domain_uuid(record.identity, name)}-r{record.nodes[name].instance}",
            mac=node.mac,
            ip=node.ip,
            prefix_length=spec.network.subnet.prefixlen,
            gateway=gateway,
            hosts=hosts,
            ssh_user=spec.ssh.user,
            ssh_public_key=spec.ssh.public_key,
            user_data=node.user_data,
            grows=node.disk_gb is not None,
            mtu=mtu_of(spec.network, node),
        )
        for name, node in spec.nodes.items()
    }


def _hosts(record: ClusterRecord) -> str:
    nodes = record.spec.everyone
    fqdns = {name: fqdn for name, node in nodes.items() if (fqdn := fqdn_of(name, node.user_data))}
    return render_hosts({name: node.ip for name, node in nodes.items()}, record.identity, fqdns)


def _present(
    record: ClusterRecord, facts: HostFacts, observed: ClusterDocument, made: frozenset[int]
) -> ClusterDocument:
    spec, inputs = record.spec, seed_inputs(record)
    disks = _all_disks(record, observed)
    actives = [active for of_node in disks.values() if isinstance(of_node, dict) for active in of_node.values()]
    domains = {
        name: of_node if isinstance(of_node, Unknown) else _domain(record, name, facts, of_node, observed)
        for name, of_node in disks.items()
    }
    return ClusterDocument(
        networks={spec.network.name: network_of(record)} if spec.nodes or spec.network.tunnel else {},
        layers={
            **_former(record, observed),
            **_of_nodes({name for name, of_node in disks.items() if isinstance(of_node, Unknown)}, observed),
            **needed_layers(actives, observed),
            **{str(active.path): active.layer for active in actives if active.layer is not None},
        },
        seeds={**_seeds_for_snapshots(record, observed), **_seeds(inputs)},
        domains=domains,
        power={name: _power(record, name, domains[name], observed, inputs[name]) for name in spec.nodes},
        taps={
            name: Tap(bridge=spec.network.bridge)
            for name in spec.nodes
            if record.nodes[name].power is not WantedPower.OFF
        },
        snapshots={
            **lent_snapshot(record, observed),
            **kept_for_forks(record, observed),
            **{
                name: Snapshot(request=wanted.request, include_memory=wanted.include_memory, quiesce=wanted.quiesce)
                for name, wanted in record.snapshots.items()
                if name in observed.snapshots or (spec.nodes and wanted.request not in made)
            },
        },
        forks=observed.forks,
    )


def _links(record: ClusterRecord, observed: ClusterDocument, now: datetime) -> dict[str, NodeLinks | Unknown]:
    """What each node receives under the desired faults; a node without a tap has only its cuts.

    Cuts about to expire may be gone already: a firewall counts in whole seconds.
    """
    faults = wanted_at(record.faults.values(), now)
    if not faults:
        return {}
    nodes = tuple(record.spec.everyone)
    found = {node: of for node, of in observed.links.items() if isinstance(of, NodeLinks)}
    here = {node: of for node, of in fold(faults, nodes).items() if node in record.spec.nodes}
    links = without_lapsing_cuts(here, found, now)
    links = {node: of if _has_tap(record.nodes[node], node, observed) else of.cuts_only for node, of in links.items()}
    links = {node: of for node, of in links.items() if of != Inbound()}
    differ = frozenset(node for node, of in links.items() if not same_inbound(found.get(node), of))
    causes = causes_of(faults, nodes, differ)
    return {node: NodeLinks(links=of.links, down=of.down, causes=causes.get(node, {})) for node, of in links.items()}


def _has_tap(intent: NodeIntent, node: str, observed: ClusterDocument) -> bool:
    """Whether the node is up, or is meant to be."""
    power = observed.power.get(node)
    return intent.power is not WantedPower.OFF or (isinstance(power, Power) and power.state is not PowerState.OFF)


def _all_disks(record: ClusterRecord, observed: ClusterDocument) -> dict[str, dict[str, ActiveDisk] | Unknown]:
    found = found_in(observed)
    disks: dict[str, dict[str, ActiveDisk] | Unknown] = {}
    for name in record.spec.nodes:
        try:
            disks[name] = active_disks(record, name, found)
        except SnapshotMissing:
            disks[name] = Unknown(
                unknown=f"node {name} was reverted to snapshot {record.nodes[name].based_on!r}, which is gone; "
                "revert to another one, or recreate the node with `cluster_apply(allow_data_loss=true)`",
                code=ErrorCode.SNAPSHOT_LOST,
                terminal=True,
            )
        except SharedInSnapshot as error:
            disks[name] = Unknown(
                unknown=f"{error} is part of a snapshot, which would change if several nodes wrote to it; "
                "share another file, or delete the snapshots first",
                code=ErrorCode.CONFLICT,
                terminal=True,
            )
    return disks


def _former(record: ClusterRecord, observed: ClusterDocument) -> dict[str, Layer | Unknown]:
    """Files that hold disks that nodes once had: they stay exactly as observed."""
    there = map(str, record.former_files)
    return {path: observed.layers[path] for path in there if path in observed.layers}


def _of_nodes(nodes: Set[str], observed: ClusterDocument) -> dict[str, Layer]:
    """The layers of nodes whose desired disks are impossible: such nodes keep the layers that they have."""
    if not nodes:
        return {}
    return {path: of for path, of in observed.layers.items() if isinstance(of, Layer) and of.node in nodes}


def _seeds(inputs: Mapping[str, SeedInputs]) -> dict[str, Seed]:
    """Seeds by node; the text that all of them share is digested once."""
    if not inputs:
        return {}
    hosts_digest = hashlib.sha256(next(iter(inputs.values())).hosts.encode()).hexdigest()
    return {node: Seed(digest=seed_digest(of_node, hosts_digest)) for node, of_node in inputs.items()}


def _seeds_for_snapshots(record: ClusterRecord, observed: ClusterDocument) -> dict[str, Seed | Unknown]:
    """Seeds of removed nodes that are part of a snapshot: a seed carries the host key that the snapshot's disks use.

    Forks, too, use the host keys of these nodes.
    """
    snapshots = [observed.snapshots[name] for name in record.snapshots if name in observed.snapshots]
    if observed.forks or any(isinstance(of, Unknown) for of in snapshots):
        return dict(observed.seeds)
    held = {node for of in snapshots if isinstance(of, Snapshot) for node in of.nodes}
    return {node: of for node, of in observed.seeds.items() if node in held}


def _domain(
    record: ClusterRecord, name: str, facts: HostFacts, disks: Mapping[str, ActiveDisk], observed: ClusterDocument
) -> Domain:
    node = record.spec.nodes[name]
    cluster, overlay_dir = record.cluster_name, record.spec.overlay_dir
    virt_type = _virt_type(node.virt_type, facts)
    return Domain(
        uuid=names.domain_uuid(cluster, name),
        role=node.role,
        vcpus=node.vcpus,
        memory_mb=node.memory_mb,
        virt_type=virt_type,
        cpu=node.cpu or ("host" if virt_type == VirtType.KVM else "maximum"),
        disks=_disks(record, name, disks),
        network=record.spec.network.name,
        mac=node.mac,
        tap=node.tap,
        console=names.console_path(overlay_dir, cluster, name),
        firmware=node.firmware,
        video=node.video,
        nvram=_nvram(record, name),
        boot=node.boot and DirectBoot(kernel=node.boot.kernel, initrd=node.boot.initrd, cmdline=node.boot.cmdline),
        boot_files=_boot_files(node, observed.domains.get(name)),
        template=DOMAIN_TEMPLATE_VERSION,
    )


def _nvram(record: ClusterRecord, name: str) -> Path | None:
    """The UEFI variables belong to what is installed on the root disk, so a new root disk starts with new ones."""
    if record.spec.nodes[name].firmware is not Firmware.UEFI:
        return None
    return names.nvram_path(record.spec.overlay_dir, record.cluster_name, name, record.nodes[name].disk_revision)


def _boot_files(node: NodeSpec, there: Domain | Unknown | None) -> str:
    """The files that the record names; a record from before files had an identity accepts those observed."""
    if node.boot is None or node.boot.identity:
        return node.boot.identity if node.boot else ""
    return there.boot_files if isinstance(there, Domain) else ""


def _virt_type(wanted: VirtType, facts: HostFacts) -> str:
    if wanted is VirtType.AUTO:
        return VirtType.KVM if facts.kvm_usable else VirtType.QEMU
    return wanted


def _disks(record: ClusterRecord, name: str, actives: Mapping[str, ActiveDisk]) -> dict[str, DomainDisk]:
    extra = record.spec.nodes[name].extra_disks
    written = {
        target: DomainDisk(
            path=active.path,
            format=active.format,
            bus=extra[target].bus if target in extra else DiskBus.VIRTIO,
            backing=active.backing,
            shared=target in extra and extra[target].shared,
        )
        for target, active in actives.items()
    }
    seed = DomainDisk(
        path=names.seed_path(record.spec.overlay_dir, record.cluster_name, name), format="raw", read_only=True
    )
    return {**written, SEED_TARGET: seed}


def _power(
    record: ClusterRecord, name: str, domain: Domain | Unknown, observed: ClusterDocument, seed: SeedInputs
) -> Power:
    intent, node = record.nodes[name], record.spec.nodes[name]
    wanted = may_be_cloned(node.start) and isinstance(domain, Domain)
    boots = why_booted(node, intent) if wanted else ""
    return Power(
        state=PowerState(intent.power.value),
        boot_epoch=intent.boot_epoch,
        resume_epoch=intent.resume_epoch,
        stop_mode=intent.stop_mode,
        memory=_memory(intent, name, observed) if intent.resumes_memory else None,
        template=template_of(node, domain, seed) if wanted and not boots and isinstance(domain, Domain) else None,
        must_clone=node.start is StartMode.CLONE,
        boots=boots,
    )


def _memory(intent: NodeIntent, node: str, observed: ClusterDocument) -> Path | None:
    found = observed.snapshots.get(intent.based_on or "")
    part = found.nodes.get(node) if isinstance(found, Snapshot) else None
    return None if part is None else part.memory
