"""The record of a fork, from that of the cluster that it is made from. Pure."""

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address
from itertools import chain, islice

from reconciler.desired.tunnels import free_addresses
from reconciler.model import names
from reconciler.model.document import Snapshot
from reconciler.model.record import (
    ClusterRecord,
    ClusterSpec,
    ForkedFrom,
    NodeIntent,
    NodeSpec,
    WantedPower,
)
from reconciler.model.snapshot import SnapshotNode
from reconciler.model.topology import Firmware

_FOR_TUNNELS = 32
"""So many of the first free addresses are left to tunnels."""


def forked(
    origin: ClusterRecord, cluster: str, of: ForkedFrom, snapshot: Snapshot, host_address: IPv4Address
) -> ClusterRecord:
    """A cluster whose nodes continue from the snapshot of `origin`, under the same names and addresses."""
    return ClusterRecord(
        cluster_name=cluster,
        spec=_spec(origin.spec, cluster, host_address),
        nodes={name: _intent(origin.nodes[name], snapshot.nodes[name], of.snapshot) for name in origin.spec.nodes},
        forked_from=of,
    )


def fork_obstacles(origin: ClusterRecord, name: str, snapshot: Snapshot | None) -> Iterator[str]:
    """Why a cluster cannot be forked from a snapshot, or one that is to be taken: each with its place and remedy."""
    for node, spec in origin.spec.nodes.items():
        if spec.firmware is Firmware.UEFI:
            yield f"nodes.{node}.firmware: UEFI variables are not forked: use `firmware: bios`"
        for disk in spec.extra_disks.values():
            if disk.shared:
                yield f"nodes.{node}.extra_disks: {disk.path} is shared, and cannot be in a snapshot: remove it"
    if snapshot is None:
        return
    now, then = set(origin.spec.nodes), set(snapshot.nodes)
    if now != then:
        changed = ", ".join(sorted(now ^ then))
        yield f"nodes: {changed} came or went since snapshot {name!r}: fork another one"
    for node in sorted(now & then):
        disks, frozen = {names.ROOT_DISK, *origin.spec.nodes[node].extra_disks}, set(snapshot.nodes[node].disks)
        if disks != frozen:
            changed = ", ".join(sorted(disks ^ frozen))
            yield f"nodes.{node}.extra_disks: {changed} came or went since snapshot {name!r}: fork another one"


def continues(of: ForkedFrom, origin: ClusterRecord, snapshot: str | None) -> bool:
    """Whether what was forked `of` continues from this snapshot of `origin`, or from any of it.

    A fork of what `origin` itself stands on is recorded as one of the same cluster.
    """
    return (of.cluster == origin.cluster_name or of == origin.forked_from) and snapshot in {None, of.snapshot}


def fork_names(new: str, count: int) -> list[str]:
    """The names of forks that are made together."""
    return [new] if count == 1 else [f"{new}-{number}" for number in range(1, count + 1)]


def addresses_for_forks(spec: ClusterSpec, taken: Collection[IPv4Address], *, shared: bool) -> Iterator[IPv4Address]:
    """The addresses that the host could have in forks of a cluster: no node's, the gateway's or another fork's.

    In a store that is `shared` with other hosts, those come last by which hosts would join or visit the cluster's
    network: the host would have one of them twice.
    """
    spared = _FOR_TUNNELS if shared else 0
    every = chain(islice(free_addresses(spec), spared, None), islice(free_addresses(spec), spared))
    return (address for address in every if address not in taken)


def memory_of_fork_mb(origin: ClusterRecord, snapshot: Snapshot | None) -> int:
    """The memory of the nodes that run or stand in a fork of a snapshot, or of one that is taken now."""
    powers = {name: (origin if snapshot is None else snapshot).nodes[name].power.value for name in origin.spec.nodes}
    off = WantedPower.OFF.value
    return sum(node.memory_mb for name, node in origin.spec.nodes.items() if powers[name] != off)


def _spec(spec: ClusterSpec, cluster: str, host_address: IPv4Address) -> ClusterSpec:
    bridge, network = names.fork_bridge(cluster), names.fork_network(cluster)
    update = {"name": network, "bridge": bridge, "host_address": host_address}
    return spec.model_copy(
        update={
            "network": spec.network.model_copy(update=update),
            "nodes": {name: _node(of, cluster, name) for name, of in spec.nodes.items()},
            "snapshot_names": {},
            "faults": {},
        }
    )


def _node(of: NodeSpec, cluster: str, name: str) -> NodeSpec:
    """The node, whose extra disks are all layers above files that it neither made nor writes to."""
    disks = {target: disk.model_copy(update={"existing": True}) for target, disk in of.extra_disks.items()}
    return of.model_copy(update={"tap": names.tap_name(cluster, name), "extra_disks": disks})


def _intent(of: NodeIntent, then: SnapshotNode, snapshot: str) -> NodeIntent:
    power = WantedPower(then.power.value)
    return NodeIntent(
        power=power,
        instance=of.instance,
        based_on=snapshot,
        extra_based_on=snapshot,
        resumes_memory=then.memory is not None,
        resume_epoch=int(power is WantedPower.RUNNING),
    )
