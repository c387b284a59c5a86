"""What a host says to the others of its part of a cluster, and how what they said becomes part of a look."""

from collections.abc import Iterable, Set

from reconciler.controller.round_input import RoundInput
from reconciler.host.cloud_init.seed_driver import read_host_key
from reconciler.model.document import ClusterDocument, Halt, Network, Power, Snapshot
from reconciler.model.record import ClusterRecord
from reconciler.model.status import HeldSnapshot, NodeReport, RecordStatus
from reconciler.store.merged_status import merged_status, nodes_by_host
from reconciler.store.protocol import HostWords

_EMPTY = ClusterDocument()


def reported(
    status: RecordStatus,
    view: RoundInput,
    observed: ClusterDocument | None = None,
    snapshots: tuple[HeldSnapshot, ...] | None = None,
) -> RecordStatus:
    """The status with what the other hosts cannot see, where there are others.

    Without new `snapshots`, those that it said before.
    """
    if view.hosts is None:
        return status
    before = view.before.snapshots if view.before else ()
    seen = observed or _EMPTY
    networks = seen.networks.values()
    update = {
        "host": view.host,
        "nodes": {name: _report(of, view, name) for name, of in seen.power.items() if isinstance(of, Power)},
        "snapshots": before if snapshots is None else snapshots,
        "network_active": any(isinstance(of, Network) and of.active for of in networks),
    }
    return status.model_copy(update=update)


def with_others(view: RoundInput, own: RecordStatus | None) -> RecordStatus | None:
    """The status of the whole cluster, in which this host says `own`."""
    if view.hosts is None:
        return own
    words = {**view.hosts.words, **({view.host: own} if own else {})}
    return merged_status(view.whole, words, view.hosts.lost, view.hosts.home, view.hosts.forgotten)


def with_nodes_elsewhere(observed: ClusterDocument, status: RecordStatus | None, here: Set[str]) -> ClusterDocument:
    """The observation with the power of other hosts' nodes, as they saw it last."""
    said = status.nodes.items() if status else ()
    elsewhere = {name: Power(state=of.state, halt=of.halt) for name, of in said if name not in here}
    return observed.model_copy(update={"power": {**observed.power, **elsewhere}}) if elsewhere else observed


def with_snapshots_elsewhere(observed: ClusterDocument, held: Iterable[HeldSnapshot]) -> ClusterDocument:
    """The observation with the other hosts' parts of snapshots; what cannot be read here stays unknown."""
    snapshots = dict(observed.snapshots)
    for manifest in (of.manifest for of in held):
        here = snapshots.get(manifest.snapshot_name)
        if here is None or (isinstance(here, Snapshot) and not here.half_made):
            nodes = {**manifest.nodes, **(here.nodes if here else {})}
            whole = Snapshot(request=manifest.request, include_memory=manifest.include_memory, nodes=nodes)
            snapshots[manifest.snapshot_name] = whole
    return observed.model_copy(update={"snapshots": snapshots})


def others_of(whole: ClusterRecord, host: str, hosts: HostWords | None) -> Set[str]:
    """The other hosts that have, or are to have, something of a cluster."""
    return frozenset() if hosts is None else (nodes_by_host(whole, hosts.home).keys() | hosts.words.keys()) - {host}


def nothing_is_left(whole: ClusterRecord, hosts: HostWords) -> bool:
    """Whether every host that may come back has deleted all that it had for this generation of a record."""
    everyone = (nodes_by_host(whole, hosts.home).keys() | hosts.words.keys()) - hosts.forgotten
    said = [hosts.words.get(host) for host in everyone]
    return all(of is not None and of.nothing_left and of.observed_generation >= whole.generation for of in said)


def _report(power: Power, view: RoundInput, node: str) -> NodeReport:
    key = read_host_key(view.record.spec.overlay_dir, view.record.cluster_name, node)
    return NodeReport(state=power.state, halt=power.halt if isinstance(power.halt, Halt) else None, host_key=key or "")
