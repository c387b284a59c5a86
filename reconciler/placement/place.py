"""Chooses a host for each node of a cluster, once: a node that is placed stays where it is. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.errors import PlacementRefused
from reconciler.model.host import HostRecord, HostUse
from reconciler.model.placement import PlacementPolicy, PlacementStrategy
from reconciler.model.record import ClusterRecord, NodeSpec
from reconciler.placement.fitness import lacks_image, obstacles

_TOLD = 3
"""So many hosts that cannot take a node are named, and so many reasons told, where another host can."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The host of a node, and why that one; `kept` if it is there already."""

    host: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What hosts there are, and what is on them already.

    `present` says where the cluster's nodes are now, by node; `used` is what is on each host besides this cluster.
    Images with digests that are `offered` can be fetched by hosts that lack them.
    """

    hosts: Mapping[str, HostRecord]
    present: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, HostUse] = field(default_factory=dict)
    home: str = ""
    offered: frozenset[str] = frozenset()


def place(nodes: Mapping[str, NodeSpec], policy: PlacementPolicy, now: Situation) -> dict[str, Placement]:
    """A host for every node; `host` of a specification is the one that the topology names, or empty.

    Raises `PlacementRefused` with every host's reasons for each node that fits on none.
    """
    chosen = {name: kept for name, node in nodes.items() if (kept := _kept(name, node, now))}
    uses = dict(now.used)
    for name, placement in chosen.items():
        uses[placement.host] = uses.get(placement.host, HostUse()).with_node(nodes[name])
    refusals: list[str] = []
    for name in _hardest_first(nodes.keys() - chosen.keys(), nodes):
        found = _choose(name, nodes[name], policy, now, uses, {node: of.host for node, of in chosen.items()})
        if isinstance(found, Placement):
            chosen[name] = found
            uses[found.host] = uses.get(found.host, HostUse()).with_node(nodes[name])
        else:
            refusals.append(found)
    if refusals:
        raise PlacementRefused(
            "\n".join(refusals),
            hint="`host_list` shows the hosts; change `placement`, `host` or the size of the nodes, or copy an image "
            "that a host lacks there, to the same path",
        )
    return {name: chosen[name] for name in nodes}


def uses_by_host(records: Iterable[ClusterRecord], home: str) -> dict[str, HostUse]:
    """What the nodes of these clusters may use on each host; `home` has those without a host."""
    uses: dict[str, HostUse] = {}
    for record in records:
        for node in record.spec.nodes.values():
            host = node.host or home
            uses[host] = uses.get(host, HostUse()).with_node(node)
    return uses


def _kept(name: str, node: NodeSpec, now: Situation) -> Placement | None:
    """Where a node stays; None if it is new, its host was forgotten, or the topology names another one."""
    present = now.present.get(name, "")
    is_there = present in now.hosts or (present != "" and present == now.home)
    if not is_there or node.host not in {"", present}:
        return None
    return Placement(present, "it is there already", kept=True)


def _hardest_first(names: Iterable[str], nodes: Mapping[str, NodeSpec]) -> list[str]:
    """Nodes that name a host, then those that need most, so that the small ones fill what they leave."""
    order = {name: place for place, name in enumerate(nodes)}
    return sorted(names, key=lambda name: (not nodes[name].host, -nodes[name].memory_mb, order[name]))


def _choose(
    name: str,
    node: NodeSpec,
    policy: PlacementPolicy,
    now: Situation,
    uses: Mapping[str, HostUse],
    neighbours: Mapping[str, str],
) -> Placement | str:
    """The best host that can take a node, or why none can."""
    if node.host and node.host not in now.hosts:
        return f"node {name}: there is no host {node.host} (there are: {', '.join(now.hosts) or 'none'})"
    candidates = [node.host] if node.host else list(now.hosts)
    labels = {} if node.host else policy.labels
    against = {
        host: [
            *obstacles(node, now.hosts[host], uses.get(host, HostUse()), labels, now.offered),
            *_apart(now.hosts, host, neighbours),
        ]
        for host in candidates
    }
    fitting = [host for host, reasons in against.items() if not reasons]
    if not fitting:
        told = "; ".join(f"{host}: {', '.join(reasons)}" for host, reasons in against.items())
        return f"node {name} fits on no host: {told or 'there are none'}"
    best = min(fitting, key=lambda host: _rank(host, policy, now.hosts[host], uses, neighbours))
    return Placement(best, _reason(name, node, best, policy, now, against))


def _apart(hosts: Mapping[str, HostRecord], host: str, neighbours: Mapping[str, str]) -> list[str]:
    """Nodes on several hosts need an address of each for the network between them."""
    others = sorted({of for of in neighbours.values() if of != host})
    lacking = [of for of in (host, *others) if of in hosts and hosts[of].address is None] if others else []
    return [f"the cluster has nodes on {', '.join(others)}, and {of} has no `host_address`" for of in lacking]


def _rank(
    host: str,
    policy: PlacementPolicy,
    record: HostRecord,
    uses: Mapping[str, HostUse],
    neighbours: Mapping[str, str],
) -> tuple[float, float, str]:
    """Smaller is better: few nodes of this cluster and most memory left, or the opposite where they are packed."""
    siblings = sum(of == host for of in neighbours.values())
    left_mb = record.memory_mb - uses.get(host, HostUse()).memory_mb
    sign = -1 if policy.strategy is PlacementStrategy.PACK else 1
    return sign * siblings, -sign * left_mb, host


def _reason(
    name: str,
    node: NodeSpec,
    host: str,
    policy: PlacementPolicy,
    now: Situation,
    against: Mapping[str, Sequence[str]],
) -> str:
    present = now.present.get(name, "")
    if node.host:
        why = "the topology names it"
    else:
        among = f"{_fitting(against)} of {len(now.hosts)} hosts can take it"
        among = f"{among}{_others({of: against[of] for of in against if _has_labels(now.hosts[of], policy.labels)})}"
        word = "packed on few hosts" if policy.strategy is PlacementStrategy.PACK else "spread over the hosts"
        labels = ", ".join(f"{key}={value}" for key, value in policy.labels.items())
        why = f"{word}{f' with {labels}' if labels else ''}; {among}"
    if lacks_image(node, now.hosts[host]):
        why = f"{why}; it fetches {node.base_image.path} first"
    if not present:
        return why
    state = "its disks stay there" if present in now.hosts else "that host was forgotten with its disks"
    return f"{why}; it was on {present}: {state}, and it starts with new ones"


def _fitting(against: Mapping[str, Sequence[str]]) -> int:
    return sum(not reasons for reasons in against.values())


def _has_labels(host: HostRecord, labels: Mapping[str, str]) -> bool:
    return labels.items() <= host.labels.items()


def _named(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _TOLD} more" if len(hosts) > _TOLD else ""
    return f"{', '.join(hosts[:_TOLD])}{more}"


def _others(against: Mapping[str, Sequence[str]]) -> str:
    """Why other hosts cannot take a node; of many reasons, the first few."""
    whose: dict[str, list[str]] = {}
    for host, reasons in against.items():
        if reasons:
            whose.setdefault(", ".join(reasons), []).append(host)
    told = [f"{_named(hosts)}: {reasons}" for reasons, hosts in whose.items()]
    more = [f"and {len(told) - _TOLD} more reasons"] if len(told) > _TOLD else []
    return f" ({'; '.join([*told[:_TOLD], *more])})" if told else ""
