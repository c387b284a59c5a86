"""A graph as lines for a terminal. Pure."""

from collections.abc import Iterator, Sequence

from reconciler.drawing.drawn_edges import (
    MOST_EDGES,
    Edge,
    drawable,
    edges_of,
    fault_lines,
    left_out,
    network_line,
    state_words,
)
from reconciler.model.graph import ClusterGraph


def render_text(graph: ClusterGraph) -> str:
    """The nodes, the links with faults, and the faults."""
    return "".join(f"{line.rstrip()}\n" for line in _lines(graph))


def _lines(graph: ClusterGraph) -> Iterator[str]:
    yield f"{drawable(graph.cluster_name)}: network {network_line(graph)}"
    yield from _columns([[drawable(of.name), drawable(of.role), of.ip, state_words(of)] for of in graph.nodes])
    edges = edges_of(graph)
    if edges:
        yield "links"
        yield from _columns(
            [[drawable(of.sender), _arrow(of), drawable(of.receiver), of.label] for of in edges[:MOST_EDGES]]
        )
    yield from (f"  {line}" for line in filter(None, [left_out(edges)]))
    if graph.faults:
        yield "faults"
    yield from (f"  {line}" for line in fault_lines(graph))


def _arrow(edge: Edge) -> str:
    return f"{'<' if edge.both else '-'}-{'x' if edge.cut else '-'}->"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
