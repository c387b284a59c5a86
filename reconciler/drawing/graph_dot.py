"""A graph in the language of Graphviz. Pure."""

from collections.abc import Iterator

from reconciler.drawing.drawn_edges import (
    MOST_EDGES,
    drawable,
    edges_of,
    fault_lines,
    left_out,
    network_line,
    state_words,
)
from reconciler.model.graph import ClusterGraph
from reconciler.model.links import HOST
from reconciler.model.results import DomainState


def render_dot(graph: ClusterGraph) -> str:
    """A directed graph; `circo` or `neato` lay it out best."""
    return "".join(f"{line}\n" for line in _lines(graph))


def _lines(graph: ClusterGraph) -> Iterator[str]:
    edges = edges_of(graph)
    told = [*fault_lines(graph), *filter(None, [left_out(edges)])]
    yield f"digraph {_quoted(graph.cluster_name)} {{"
    yield '  graph [overlap=false, splines=true, fontname="sans-serif"]'
    yield '  node [shape=box, style="rounded,filled", fontname="sans-serif"]'
    yield f"  label={_quoted(*told)}"
    yield f"  network [shape=ellipse, fillcolor=white, label={_quoted(network_line(graph))}]"
    for node in graph.nodes:
        sick = bool(node.problem) or node.unplugged
        color = "#ffe5e2" if sick else "#e3f4e6" if node.state is DomainState.RUNNING else "#f0f1f3"
        label = _quoted(*filter(None, [node.name, node.role, node.ip, state_words(node)]))
        yield f'  {_name(node.name)} [fillcolor="{color}", label={label}]'
        yield f"  network -> {_name(node.name)} [dir=none, color=gray, style={'dotted' if node.unplugged else 'solid'}]"
    for edge in edges[:MOST_EDGES]:
        looks = 'color="#c8261b", arrowhead=tee, arrowtail=tee' if edge.cut else 'color="#b35900", style=dashed'
        ends = f"{_name(edge.sender)} -> {_name(edge.receiver)}"
        yield f"  {ends} [label={_quoted(edge.label)}, dir={'both' if edge.both else 'forward'}, {looks}]"
    yield "}"


def _name(node: str) -> str:
    return "network" if node == HOST else _quoted(f"node {node}")


def _quoted(*lines: str) -> str:
    """A string that stands for itself: the language knows escapes in quotes, and HTML only between angle brackets."""
    escaped = (drawable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
