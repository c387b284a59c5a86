"""Draws a cluster: the graph of what its record and its status say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.faults.combine import Fault, fold, wanted_at
from reconciler.faults.explain import causes_of
from reconciler.faults.words import fault_in_words, impairment_in_words
from reconciler.health.node_probe import NO_SIGN_OF_LIFE
from reconciler.model.graph import ClusterGraph, GraphFault, GraphLink, GraphNode
from reconciler.model.links import HOST, Impairment, Inbound
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ClusterStatus, DomainState, NodeStatus
from reconciler.model.status import ConditionStatus, ConditionType
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection


async def cluster_graph(runtime: Runtime, cluster: str) -> ClusterGraph:
    """The graph of a cluster as it is now. Raises as `Inspection.status` does."""
    record = await existing(runtime.store, cluster)
    return graph_of(record, await Inspection(runtime).status(cluster), datetime.now(UTC))


def graph_of(record: ClusterRecord, status: ClusterStatus, now: datetime) -> ClusterGraph:
    """The graph of a record and a status at one moment."""
    return graph_seen(record, seen_in(status), status.network_active, now)


def seen_in(status: ClusterStatus) -> list[GraphNode]:
    """What a status says of each node."""
    return [GraphNode(of.name, of.role, of.ip, of.domain_state, _problem(of)) for of in status.nodes]


def graph_seen(record: ClusterRecord, seen: Iterable[GraphNode], network_active: bool, now: datetime) -> ClusterGraph:
    """The graph of a record and of what was seen of its nodes; whether a cable is pulled is up to the record."""
    faults, names = wanted_at(record.faults.values(), now), tuple(record.spec.nodes)
    received = fold(faults, names)
    place = {name: number for number, name in enumerate((*names, HOST))}
    links = _links(faults, names, received, now)
    return ClusterGraph(
        cluster_name=record.cluster_name,
        network=record.spec.network.name,
        subnet=str(record.spec.network.subnet),
        network_active=network_active,
        nodes=tuple(replace(of, unplugged=of.name in received and received[of.name].down) for of in seen),
        links=tuple(sorted(links, key=lambda of: (place[of.sender], place[of.receiver]))),
        faults=tuple(
            GraphFault(of.declared_as or of.handle_id, fault_in_words(of), _left_s([of.expires_at], now))
            for of in faults
        ),
    )


def _problem(node: NodeStatus) -> str:
    """The first thing that is wrong with a node, in a few words."""
    kernel = next((of for of in node.conditions if of.type is ConditionType.KERNEL_HEALTHY), None)
    if kernel is not None and kernel.status is ConditionStatus.FALSE:
        return node.first_bad_event.summary if node.first_bad_event else "the kernel is unhealthy"
    if kernel is not None and kernel.reason == NO_SIGN_OF_LIFE:
        return "no sign of life"
    return "no SSH login" if node.domain_state is DomainState.RUNNING and not node.ssh_reachable else ""


def _links(
    faults: Sequence[Fault], nodes: Sequence[str], received: Mapping[str, Inbound], now: datetime
) -> Iterator[GraphLink]:
    expiries = {fault.handle_id: fault.expires_at for fault in faults}
    causes = causes_of(faults, nodes, received.keys())
    for receiver, inbound in received.items():
        for sender, link in inbound.links.items():
            yield GraphLink(
                sender=sender,
                receiver=receiver,
                cut=link.cut,
                effect="cut" if link.cut else impairment_in_words(link.impairment or Impairment()),
                heals_in_s=_left_s([expiries[handle] for handle in causes[receiver][sender]], now),
            )


def _left_s(expiries: Sequence[datetime | None], now: datetime) -> float | None:
    """How long until the last of them; None if there is one that does not come."""
    known = [of for of in expiries if of is not None]
    whole = len(known) == len(expiries)
    return max((of - now).total_seconds() for of in known) if whole and known else None
