"""What all drawings share: words, and links as the edges that are drawn. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model.graph import ClusterGraph, GraphLink, GraphNode

MOST_EDGES = 400
"""More lines than these would show nothing; a drawing then says how many it leaves out."""

_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(frozen=True, slots=True)
class Edge:
    """One line of a drawing; `both` if the same happens in either direction."""

    sender: str
    receiver: str
    cut: bool
    label: str
    both: bool
    effect: str = ""
    heals_in_s: float | None = None


def edges_of(graph: ClusterGraph) -> list[Edge]:
    """The links, two that are alike in either direction as one."""
    labels = {(link.sender, link.receiver): _label(link) for link in graph.links}
    return list(_edges(graph, labels))


def _edges(graph: ClusterGraph, labels: dict[tuple[str, str], str]) -> Iterator[Edge]:
    drawn: set[tuple[str, str]] = set()
    for link in graph.links:
        there, back = (link.sender, link.receiver), (link.receiver, link.sender)
        if there not in drawn:
            both = labels.get(back) == labels[there]
            drawn |= {there, back} if both else {there}
            yield Edge(link.sender, link.receiver, link.cut, labels[there], both, link.effect, link.heals_in_s)


def left_out(edges: list[Edge]) -> str:
    """How many edges are left out, if any."""
    return f"{len(edges) - MOST_EDGES} more links have faults" if len(edges) > MOST_EDGES else ""


def _label(link: GraphLink) -> str:
    return drawable(", ".join(filter(None, [link.effect, time_left(link.heals_in_s)])))


def time_left(seconds: float | None) -> str:
    """How long something still lasts; empty if it does not end by itself."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole >= _HOUR_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min left"
    return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s left" if whole >= _MINUTE_S else f"{whole} s left"


def state_words(node: GraphNode) -> str:
    """A node's state, and what is wrong with it."""
    return drawable(", ".join(filter(None, [node.state.value, "cable pulled" if node.unplugged else "", node.problem])))


def network_line(graph: ClusterGraph) -> str:
    """The network, in one line."""
    return drawable(f"{graph.network} {graph.subnet} ({'active' if graph.network_active else 'not active'})")


def fault_lines(graph: ClusterGraph) -> list[str]:
    """The faults in force, a line each."""
    return [
        drawable(f"{of.name}: {', '.join(filter(None, [of.effect, time_left(of.heals_in_s)]))}") for of in graph.faults
    ]


def drawable(text: str) -> str:
    """The text with everything but printable characters escaped: names and messages may come from guests and files."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def cut_short(text: str, length: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
