"""A graph in Mermaid's language, for Markdown. Pure."""

from collections.abc import Iterator

from reconciler.drawing.drawn_edges import MOST_EDGES, Edge, edges_of, fault_lines, left_out, network_line, state_words
from reconciler.model.graph import ClusterGraph
from reconciler.model.links import HOST
from reconciler.model.results import DomainState

_PLAIN = frozenset(" .,:/_()%+-±|→←↔")
_CLASSES = {
    "running": "fill:#e3f4e6,stroke:#1a7f37,color:#10301a",
    "off": "fill:#f0f1f3,stroke:#6e7781,color:#24292f",
    "sick": "fill:#ffe5e2,stroke:#c8261b,color:#4b0d08",
}


def render_mermaid(graph: ClusterGraph) -> str:
    """A flowchart."""
    return "".join(f"{line}\n" for line in _lines(graph))


def _lines(graph: ClusterGraph) -> Iterator[str]:
    ids = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)} | {HOST: "network"}
    yield "flowchart TB"
    yield f'  network(["{_quoted(network_line(graph))}"])'
    for node in graph.nodes:
        named = "<br/>".join(map(_quoted, filter(None, [node.name, node.role, node.ip, state_words(node)])))
        kind = "sick" if node.problem or node.unplugged else "running" if node.state is DomainState.RUNNING else "off"
        yield f'  {ids[node.name]}["{named}"]:::{kind}'
        yield f"  network {'-.-' if node.unplugged else '---'} {ids[node.name]}"
    edges = edges_of(graph)
    for edge in edges[:MOST_EDGES]:
        yield f'  {ids[edge.sender]} {_arrow(edge)}|"{_quoted(edge.label)}"| {ids[edge.receiver]}'
    for number, line in enumerate(filter(None, [*fault_lines(graph), left_out(edges)])):
        yield f'  f{number}>"{_quoted(line)}"]'
    yield from (f"  classDef {name} {style}" for name, style in _CLASSES.items())


def _arrow(edge: Edge) -> str:
    if edge.cut:
        return "x--x" if edge.both else "--x"
    return "<-.->" if edge.both else "-.->"


def _quoted(text: str) -> str:
    """Text in quotes: Mermaid takes markup in it for markup, and writes other characters as `#number;`."""
    return "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in text)
