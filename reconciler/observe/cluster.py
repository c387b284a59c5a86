"""The observed document of one cluster, read back from the host in one pass."""

import asyncio
import os
from collections.abc import Awaitable
from dataclasses import dataclass

from reconciler.concurrency import together
from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, HostCapabilityMissing, OperationFailed
from reconciler.faults.compile_links import read_links
from reconciler.host import tap
from reconciler.host.cloud_init.seed_driver import observe_seeds
from reconciler.host.disks.layers import observe_layers
from reconciler.host.disks.lent_snapshots import observe_forks, observe_lent
from reconciler.host.disks.manifests import observe_snapshots
from reconciler.host.fork_network.fork_network_driver import observe_host_address
from reconciler.host.libvirt.domain_xml import DomainRecord
from reconciler.host.libvirt.libvirt_driver import FoundDomain, Libvirt
from reconciler.host.libvirt.networks import FoundNetwork
from reconciler.host.links.link_driver import LinkDriver
from reconciler.host.links.ports import ports_of
from reconciler.host.tunnel.tunnel_driver import observe_tunnel
from reconciler.model import names
from reconciler.model.document import (
    ClusterDocument,
    Domain,
    HostAddress,
    Layer,
    LentFiles,
    Mark,
    Network,
    NodeLinks,
    Power,
    PowerState,
    Seed,
    Snapshot,
    Tap,
    Tunnel,
    Unknown,
    mark_key,
)
from reconciler.model.links import HOST, Ports
from reconciler.model.record import ClusterRecord
from reconciler.observe.observed_marks import Marks, marks_of_files

_DENIED = ("Operation not permitted", "Permission denied", "you must be root")
"""What nft, iptables and tc print for a caller without CAP_NET_ADMIN."""

_LOOKS_AT_AN_END = 11
_END_S = 0.02


FoundDomains = Awaitable[dict[str, FoundDomain]]
"""A running search for a cluster's domains, by node."""


async def observe_cluster(
    record: ClusterRecord, libvirt: Libvirt, links: LinkDriver, found: FoundDomains | None = None
) -> ClusterDocument:
    """What the host has of a cluster; `found` are its domains if the caller looks for them anyway.

    Raises `LibvirtUnavailable` if libvirt cannot be reached.
    """
    cluster, spec = record.cluster_name, record.spec
    domains, networks, files, inbound, tunnel, address = await together(
        found if found is not None else libvirt.find_domains(cluster),
        libvirt.find_networks(cluster, frozenset({spec.network.name})),
        asyncio.to_thread(_observe_files, record),
        _observe_links(record, links),
        _observe_tunnel(record),
        observe_host_address(spec.network),
    )
    domains, taps = await _observe_taps(record, libvirt, domains)
    marked = _of_cluster(cluster, domains)
    return ClusterDocument(
        networks=_with_joints(record, {network.name: _network(network) for network in networks}, tunnel, address),
        layers=files.layers,
        seeds=files.seeds,
        links=inbound,
        snapshots=files.snapshots,
        forks=files.forks,
        domains=_domains(cluster, domains, marked),
        power=_power(marked),
        taps=taps,
        marks={**files.marks, **_marks(marked, networks)},
    )


@dataclass(frozen=True, slots=True)
class _Files:
    layers: dict[str, Layer | Unknown]
    seeds: dict[str, Seed | Unknown]
    snapshots: dict[str, Snapshot | Unknown]
    forks: dict[str, LentFiles | Unknown]
    marks: Marks


def _observe_files(record: ClusterRecord) -> _Files:
    """What the cluster has on disk. Blocking."""
    cluster, spec = record.cluster_name, record.spec
    layers = observe_layers(spec.overlay_dir, cluster, (*spec.extra_files, *record.former_files))
    seeds = observe_seeds(spec.overlay_dir, cluster)
    own = observe_snapshots(spec.overlay_dir, cluster)
    snapshots = {**observe_lent(spec.overlay_dir, cluster, record.forked_from), **own}
    forks = observe_forks(spec.overlay_dir, cluster)
    return _Files(layers, seeds, snapshots, forks, marks_of_files(record, layers, seeds, snapshots))


def _marks(domains: "OurDomains", networks: list[FoundNetwork]) -> Marks:
    of_domains = {mark_key("domains", node): Mark(origin=of.mark.origin) for node, (_, of) in domains.items()}
    records = ((network.name, network.record) for network in networks)
    of_networks = {mark_key("networks", name): Mark(origin=of.mark.origin) for name, of in records if of is not None}
    return {**of_domains, **of_networks}


def _network(found: FoundNetwork) -> Network | Unknown:
    if found.record is not None:
        return found.record.network
    return Unknown(
        unknown=f"a libvirt network named {found.name!r} exists and is not this cluster's; "
        "give the network of the topology another name",
        code=ErrorCode.CONFLICT,
        terminal=True,
    )


async def _observe_tunnel(record: ClusterRecord) -> Tunnel | Unknown | None:
    try:
        return await observe_tunnel(record.cluster_name, record.spec.network.bridge, record.spec.network.subnet)
    except ClusterError as error:
        return Unknown(unknown=str(error), code=error.code, terminal=error.terminal)


def _with_joints(
    record: ClusterRecord,
    found: dict[str, Network | Unknown],
    tunnel: Tunnel | Unknown | None,
    address: HostAddress | None,
) -> dict[str, Network | Unknown]:
    """The networks, of which the record's own has the tunnel and the host's address; also when only these are left."""
    if tunnel is None and address is None:
        return found
    spec = record.spec.network
    left = Network(
        bridge="", gateway=str(spec.gateway), prefix_length=spec.subnet.prefixlen, forward=spec.forward, active=False
    )
    network = found.get(spec.name, left)
    if isinstance(network, Unknown):
        return found
    update = {"tunnel": tunnel, "host_address": address}
    joined = tunnel if isinstance(tunnel, Unknown) else network.model_copy(update=update)
    return {**found, spec.name: joined}


OurDomains = dict[str, tuple[FoundDomain, DomainRecord]]
"""By node: the domain that was found, and what its mark and definition say."""


def _of_cluster(cluster: str, found: dict[str, FoundDomain]) -> OurDomains:
    """The domains whose marks confirm what their names say."""
    marked = {node: (domain, domain.record) for node, domain in found.items() if domain.record is not None}
    return {node: pair for node, pair in marked.items() if (pair[1].mark.cluster, pair[1].mark.node) == (cluster, node)}


def _domains(cluster: str, found: dict[str, FoundDomain], ours: OurDomains) -> dict[str, Domain | Unknown]:
    """Persistent definitions; a machine that runs without one counts as not defined."""
    persistent = {node: record.domain for node, (domain, record) in ours.items() if domain.persistent}
    return {**persistent, **{node: _not_ours(cluster, node) for node in found if node not in ours}}


def _not_ours(cluster: str, node: str) -> Unknown:
    return Unknown(
        unknown=f"a domain named {names.domain_name(cluster, node)!r} exists and was not created by vmcluster; "
        "rename or remove it, or give the cluster another name",
        code=ErrorCode.CONFLICT,
        terminal=True,
    )


def _power(ours: OurDomains) -> dict[str, Power | Unknown]:
    return {
        node: Power(
            state=domain.state,
            boot_epoch=record.carried_out.boot,
            resume_epoch=record.carried_out.resume,
            open_files=domain.open_files,
            halt=domain.halt,
        )
        for node, (domain, record) in ours.items()
    }


async def _observe_taps(
    record: ClusterRecord, libvirt: Libvirt, domains: dict[str, FoundDomain]
) -> tuple[dict[str, FoundDomain], dict[str, Tap | Unknown]]:
    """The taps of active machines, and the machines as they are at that time.

    A machine that ends loses its tap before libvirt reports it as off, so one without a tap is looked at again.
    """
    for _ in range(_LOOKS_AT_AN_END):
        active = _active_taps(record.cluster_name, domains)
        try:
            taps = _plugged(active, record.spec.network.bridge)
            if tap.existing_taps(active.values()) >= set(active.values()):
                break
        except OperationFailed as error:
            return domains, dict.fromkeys(active, Unknown(unknown=str(error), code=error.code))
        await asyncio.sleep(_END_S)
        domains = await libvirt.find_domains(record.cluster_name)
    still = _active_taps(record.cluster_name, domains)
    return domains, {node: of for node, of in taps.items() if node in still}


def _active_taps(cluster: str, domains: dict[str, FoundDomain]) -> dict[str, str]:
    ours = _of_cluster(cluster, domains)
    return {node: record.domain.tap for node, (domain, record) in ours.items() if domain.state is not PowerState.OFF}


def _plugged(active: dict[str, str], bridge: str) -> dict[str, Tap | Unknown]:
    ports = tap.observe_ports(bridge) if active else frozenset()
    return {node: Tap(bridge=bridge if name in ports else None) for node, name in active.items()}


async def _observe_links(record: ClusterRecord, links: LinkDriver) -> dict[str, NodeLinks | Unknown]:
    """The links of all nodes; if they could not be read, the reason for the host as a whole."""
    try:
        ports = ports_of(record)
        found = read_links(await links.observe(record.cluster_name, _plugged_in(ports)), ports)
    except ClusterError as error:
        return {HOST: _unseen_links(error)}
    return {node: NodeLinks(links=of.links, down=of.down) for node, of in found.items()}


def _plugged_in(ports: Ports) -> Ports:
    """The ports whose taps exist: without any, no tool has to be asked for their queues."""
    taps = tap.existing_taps(port.tap for port in ports.nodes.values())
    there = {node: port for node, port in ports.nodes.items() if port.tap in taps}
    return Ports(there, host_mac=ports.host_mac)


def _unseen_links(error: ClusterError) -> Unknown:
    """A process that may not look at a firewall may not change it either: it lacks a capability."""
    denied = any(words in str(error) for words in _DENIED)
    lacking = isinstance(error, HostCapabilityMissing) and os.geteuid() != 0
    return Unknown(
        unknown=f"faults on links cannot be read: {error}",
        code=ErrorCode.HOST_CAPABILITY_MISSING if denied else error.code,
        terminal=denied or error.terminal,
        unprivileged=denied or lacking,
    )
