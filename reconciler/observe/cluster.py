"""The observed document of one cluster, read back from the host in one pass."""

import asyncio

from reconciler.errors import ErrorCode
from reconciler.host import tap
from reconciler.host.cloud_init.driver import observe_seeds
from reconciler.host.disks.layers import observe_layers
from reconciler.host.libvirt.driver import FoundDomain, FoundNetwork, Libvirt
from reconciler.model import names
from reconciler.model.document import ClusterDocument, Domain, Network, Power, PowerState, Tap, Unknown
from reconciler.model.record import ClusterRecord


async def observe_cluster(record: ClusterRecord, libvirt: Libvirt) -> ClusterDocument:
    """What the host has of a cluster. Raises `LibvirtUnavailable` when libvirt cannot be asked."""
    cluster, spec = record.cluster_name, record.spec
    ours = [disk.path for node in spec.nodes.values() for disk in node.extra_disks.values() if not disk.existing]
    domains, networks, layers, seeds = await asyncio.gather(
        libvirt.find_domains(cluster),
        libvirt.find_networks(cluster, frozenset({spec.network.name})),
        asyncio.to_thread(observe_layers, spec.overlay_dir, cluster, ours),
        asyncio.to_thread(observe_seeds, spec.overlay_dir, cluster),
    )
    return ClusterDocument(
        networks={network.name: _network(network) for network in networks},
        layers=layers,
        seeds=seeds,
        domains=_domains(cluster, domains),
        power=_power(domains),
        taps=await _observe_taps(domains, spec.network.bridge),
    )


def _network(found: FoundNetwork) -> Network | Unknown:
    if found.record is not None:
        return found.record.network
    return Unknown(
        unknown=f"a libvirt network named {found.name!r} is there that is not of this cluster; "
        "give the network of the topology another name",
        code=ErrorCode.CONFLICT,
        terminal=True,
    )


def _domains(cluster: str, found: dict[str, FoundDomain]) -> dict[str, Domain | Unknown]:
    """Persistent definitions; a machine that runs without one counts as not defined."""
    documents: dict[str, Domain | Unknown] = {}
    for node, domain in found.items():
        if domain.record is None or (domain.record.mark.cluster, domain.record.mark.node) != (cluster, node):
            documents[node] = _not_ours(cluster, node)
        elif domain.persistent:
            documents[node] = domain.record.domain
    return documents


def _not_ours(cluster: str, node: str) -> Unknown:
    return Unknown(
        unknown=f"a domain named {names.domain_name(cluster, node)!r} is there that we did not make; "
        "rename or remove it, or give the cluster another name",
        code=ErrorCode.CONFLICT,
        terminal=True,
    )


def _power(found: dict[str, FoundDomain]) -> dict[str, Power | Unknown]:
    return {
        node: Power(
            state=domain.state, boot_epoch=domain.record.carried_out.boot, resume_epoch=domain.record.carried_out.resume
        )
        for node, domain in found.items()
        if domain.record is not None
    }


async def _observe_taps(found: dict[str, FoundDomain], bridge: str) -> dict[str, Tap | Unknown]:
    active = {
        node: domain.record.domain.tap
        for node, domain in found.items()
        if domain.record is not None and domain.state is not PowerState.OFF
    }
    if not active:
        return {}
    ports = await tap.observe_ports(bridge)
    return {node: Tap(bridge=bridge if name in ports else None) for node, name in active.items()}
