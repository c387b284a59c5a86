"""What a host says to the others of its part of a cluster, and how what they said becomes part of a look."""

from collections.abc import Iterable, Set

from reconciler.controller.round_input import RoundInput
from reconciler.error_codes import ErrorCode
from reconciler.host.cloud_init.seed_driver import read_host_key
from reconciler.model.document import ClusterDocument, Halt, Network, Power, Snapshot, Unknown
from reconciler.model.record import ClusterRecord
from reconciler.model.status import ConditionType, HeldSnapshot, NodeReport, RecordStatus
from reconciler.observe.snapshot_bases import snapshot_bases
from reconciler.store.merged_status import NOT_OBSERVED, merged_status, nodes_by_host, remedy_for_lost, silence_told
from reconciler.store.protocol import HostWords

_EMPTY = ClusterDocument()


def reported(
    status: RecordStatus,
    view: RoundInput,
    observed: ClusterDocument | None = None,
    snapshots: tuple[HeldSnapshot, ...] | None = None,
) -> RecordStatus:
    """The status with what the other hosts cannot see, where there are others.

    Without new `snapshots`, or without an observation, what it said of them before: keys stay as they are.
    """
    if view.hosts is None:
        return status
    before = view.before or RecordStatus.of_nothing_seen(status.cluster_name, view.host, status.updated_at)
    held = before.snapshots if snapshots is None else snapshots
    seen, known = observed or _EMPTY, before.nodes
    networks = seen.networks.values()
    looked = {name: _report(of, view, name) for name, of in seen.power.items() if isinstance(of, Power)}
    update = {
        "host": view.host,
        "nodes": known if observed is None else looked,
        "snapshots": held,
        "bases": before.bases if observed is None else snapshot_bases(observed, [of.manifest for of in held]),
        "network_active": any(isinstance(of, Network) and of.active for of in networks),
        "visiting": view.visits and (_had_no_more(view) or (status.converged and not seen.snapshots)),
    }
    return status.model_copy(update=update)


def _had_no_more(view: RoundInput) -> bool:
    """Whether all that this host had of the cluster before was its network."""
    return view.before is None or view.before.visiting


def with_others(view: RoundInput, own: RecordStatus | None) -> RecordStatus | None:
    """The status of the whole cluster, in which this host says `own`."""
    if view.hosts is None:
        return own
    words = {**view.hosts.words, **({view.host: own} if own else {})}
    return merged_status(view.whole, words, view.hosts.lost, view.hosts.home, view.hosts.forgotten)


def with_nodes_elsewhere(
    observed: ClusterDocument, whole: ClusterRecord, host: str, hosts: HostWords
) -> ClusterDocument:
    """The observation of a host with the power of other hosts' nodes."""
    elsewhere = power_elsewhere(whole, host, hosts)
    return observed.model_copy(update={"power": {**observed.power, **elsewhere}}) if elsewhere else observed


def power_elsewhere(whole: ClusterRecord, host: str, hosts: HostWords) -> dict[str, Power | Unknown]:
    """The power of other hosts' nodes as they saw it last; unknown where a host is lost, or could not look."""
    found: dict[str, Power | Unknown] = {}
    for other, nodes in nodes_by_host(whole, hosts.home).items():
        if other == host:
            continue
        if silence := _silence_of(other, hosts):
            found |= dict.fromkeys(nodes, silence)
        else:
            said = hosts.words[other].nodes
            found |= {name: Power(state=said[name].state, halt=said[name].halt) for name in nodes if name in said}
    return found


def _silence_of(host: str, hosts: HostWords) -> Unknown | None:
    """Why nothing is known of a host's nodes, and what helps; None where it has looked."""
    if host in hosts.forgotten:
        why = f"host {host} was forgotten; `cluster_apply(allow_data_loss=true)` creates the node on another one"
        return Unknown(unknown=why, code=ErrorCode.HOST_LOST)
    if host in hosts.lost:
        why = f"{silence_told(host, hosts.lost[host])}; {remedy_for_lost(host)}"
        return Unknown(unknown=why, code=ErrorCode.HOST_LOST)
    said = hosts.words[host].conditions if host in hosts.words else ()
    defined = next((of for of in said if of.type is ConditionType.DEFINED), None)
    if defined is None:
        return Unknown(unknown=f"host {host} has not looked yet", code=ErrorCode.HOST_LOST)
    if defined.reason == NOT_OBSERVED:
        return Unknown(unknown=f"host {host}: {defined.message}", code=ErrorCode.HOST_LOST)
    return None


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
    if hosts is None:
        return frozenset()
    counting = {name for name, of in hosts.words.items() if whole.deletion or not of.visiting}
    return (nodes_by_host(whole, hosts.home).keys() | counting) - {host}


def nothing_is_left(whole: ClusterRecord, hosts: HostWords) -> bool:
    """Whether every host that may come back has deleted all that it had for this generation of a record."""
    everyone = (nodes_by_host(whole, hosts.home).keys() | hosts.words.keys()) - hosts.forgotten
    said = [hosts.words.get(host) for host in everyone]
    return all(of is not None and of.nothing_left and of.observed_generation >= whole.generation for of in said)


def _report(power: Power, view: RoundInput, node: str) -> NodeReport:
    key = read_host_key(view.record.spec.overlay_dir, view.record.cluster_name, node)
    return NodeReport(state=power.state, halt=power.halt if isinstance(power.halt, Halt) else None, host_key=key or "")
