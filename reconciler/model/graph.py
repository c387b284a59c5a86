"""A cluster as a graph: its nodes, and what faults do to the links between them. Pure."""

from dataclasses import dataclass

from reconciler.model.results import DomainState


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node as drawn; `problem` is what is wrong with it, empty if nothing is known to be.

    An `unplugged` one has a fault that pulls its cable: nothing passes, not even to the host.
    """

    name: str
    role: str
    ip: str
    state: DomainState
    problem: str = ""
    unplugged: bool = False


@dataclass(frozen=True, slots=True)
class GraphLink:
    """What faults do to packets from one node to another; the host is `@host`.

    `heals_in_s` is when all of it is over; None if some of it stays until it is healed.
    """

    sender: str
    receiver: str
    cut: bool
    effect: str
    heals_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class GraphFault:
    """A fault in force; `heals_in_s` is None if it stays until it is healed."""

    name: str
    effect: str
    heals_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class ClusterGraph:
    """All of it, in the order of the topology; a link without faults is not listed."""

    cluster_name: str
    network: str
    subnet: str
    network_active: bool
    nodes: tuple[GraphNode, ...]
    links: tuple[GraphLink, ...] = ()
    faults: tuple[GraphFault, ...] = ()
