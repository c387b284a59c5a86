"""A graph as an SVG picture: dark and light, without scripts, links and fonts from elsewhere. Pure."""

import math
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from reconciler.drawing.circle_layout import BOX_HEIGHT, BOX_WIDTH, Layout, lay_out
from reconciler.drawing.drawn_edges import (
    MOST_EDGES,
    Edge,
    cut_short,
    drawable,
    edges_of,
    fault_lines,
    left_out,
    network_line,
    state_words,
)
from reconciler.model.graph import ClusterGraph, GraphNode
from reconciler.model.links import HOST
from reconciler.model.results import DomainState

Place = tuple[float, float]

_LINE = 18
_MOST_LABELS = 30
_LETTERS = 22
_APART = 9
_LABEL_AT = 0.27
_STYLE = """
svg { background: #ffffff; font: 12px system-ui, "DejaVu Sans", sans-serif; }
text { fill: #1f2328; } .small { font-size: 11px; } .name { font-weight: 600; font-size: 13px; }
.box { fill: #f0f1f3; stroke: #6e7781; stroke-width: 1.5; } .running { fill: #e3f4e6; stroke: #1a7f37; }
.sick { fill: #ffe5e2; stroke: #c8261b; } .network { fill: #e4eefc; stroke: #0b5cad; }
.cable { stroke: #b6bdc5; stroke-width: 1.5; } .unplugged { stroke: #c8261b; stroke-dasharray: 2 6; }
.cut { stroke: #c8261b; stroke-width: 2.5; } .impaired { stroke: #b35900; stroke-width: 2; stroke-dasharray: 7 4; }
.cut-end { fill: #c8261b; } .impaired-end { fill: #b35900; }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; font-size: 11px; }
@media (prefers-color-scheme: dark) {
svg { background: #14181d; } text { fill: #e6eaee; } .label { stroke: #14181d; }
.box { fill: #2a3037; } .running { fill: #16341e; } .sick { fill: #4a1713; } .network { fill: #13304f; }
.cable { stroke: #58616b; }
}
"""


def render_svg(graph: ClusterGraph) -> str:
    """The picture. What is told by a colour is told by words too; the description has all of it as text."""
    edges, layout = edges_of(graph), lay_out(len(graph.nodes))
    told = [*fault_lines(graph), *filter(None, [left_out(edges)])] or ["no faults"]
    height = layout.height + _LINE * (len(told) + 1)
    width = max(layout.width, 20 + 7 * max(map(len, told)))
    size = {"width": _n(width), "height": _n(height), "viewBox": f"0 0 {_n(width)} {_n(height)}"}
    svg = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
    SubElement(svg, "title").text = f"Cluster {drawable(graph.cluster_name)}"
    SubElement(svg, "desc").text = "; ".join([network_line(graph), *told])
    SubElement(svg, "style").text = _STYLE
    _add_markers(svg)
    _add_cables(svg, graph, layout)
    places = dict(zip((node.name for node in graph.nodes), layout.nodes, strict=True)) | {HOST: layout.network}
    drawn = [(edge, _ends(edge, places)) for edge in edges[:MOST_EDGES]]
    for edge, ends in drawn:
        _add_edge(svg, edge, ends)
    _add_network(svg, graph, layout.network)
    for node in graph.nodes:
        _add_node(svg, node, places[node.name])
    for edge, ends in drawn if len(drawn) <= _MOST_LABELS else ():
        _add_label(svg, edge, ends)
    for number, line in enumerate(told):
        _add_text(svg, line, (16, layout.height + _LINE * (number + 0.5)), anchor="start")
    indent(svg, space=" ")
    return tostring(svg, encoding="unicode") + "\n"


def _add_markers(svg: Element) -> None:
    """The ends of lines: an arrow for what arrives changed, a bar for what does not arrive."""
    for kind, path in (("cut", "M4,0 h3 v10 h-3 z"), ("impaired", "M0,1 L9,5 L0,9 z")):
        box = {"viewBox": "0 0 10 10", "refX": "9", "refY": "5", "markerWidth": "14", "markerHeight": "14"}
        units = {"markerUnits": "userSpaceOnUse", "orient": "auto-start-reverse"}
        marker = SubElement(svg, "marker", {"id": f"vmcluster-{kind}", **box, **units})
        SubElement(marker, "path", {"d": path, "class": f"{kind}-end"})


def _add_cables(svg: Element, graph: ClusterGraph, layout: Layout) -> None:
    for node, place in zip(graph.nodes, layout.nodes, strict=True):
        _add_line(svg, layout.network, place, {"class": "cable unplugged" if node.unplugged else "cable"})


def _ends(edge: Edge, places: Mapping[str, Place]) -> tuple[Place, Place]:
    """Where an edge leaves the box of its sender, and where it arrives; beside the edge of the other direction."""
    sender, receiver = places[edge.sender], places[edge.receiver]
    aside = _scaled(_direction(sender, receiver, turned=True), 0 if edge.both else _APART)
    sender, receiver = _plus(sender, aside), _plus(receiver, aside)
    return _beyond_box(sender, receiver), _beyond_box(receiver, sender)


def _add_edge(svg: Element, edge: Edge, ends: tuple[Place, Place]) -> None:
    kind = "cut" if edge.cut else "impaired"
    mark = f"url(#vmcluster-{kind})"
    group = SubElement(svg, "g")
    said = f"{edge.sender} {'↔' if edge.both else '→'} {edge.receiver}: {edge.label}"
    SubElement(group, "title").text = drawable(said)
    _add_line(group, *ends, {"class": kind, "marker-end": mark, **({"marker-start": mark} if edge.both else {})})


def _add_label(svg: Element, edge: Edge, ends: tuple[Place, Place]) -> None:
    """Nearer to the sender: labels of both directions stand apart, and none is in the middle of a circle."""
    start, end = ends
    place = _plus(start, _scaled(_plus(end, _scaled(start, -1)), _LABEL_AT))
    _add_text(svg, f"{'↔' if edge.both else _pointing(start, end)} {edge.label}", _plus(place, (0, -6)), "label")


def _add_network(svg: Element, graph: ClusterGraph, place: Place) -> None:
    group = SubElement(svg, "g")
    SubElement(group, "title").text = network_line(graph)
    _add_box(group, place, "box network", rounded=BOX_HEIGHT / 2)
    state = "active" if graph.network_active else "not active"
    for row, (line, kind) in enumerate(((graph.network, "name"), (graph.subnet, "small"), (state, "small"))):
        _add_text(group, cut_short(drawable(line), _LETTERS), _row(place, row), kind)


def _add_node(svg: Element, node: GraphNode, place: Place) -> None:
    kind = "sick" if node.problem or node.unplugged else "running" if node.state is DomainState.RUNNING else ""
    said = state_words(node)
    group = SubElement(svg, "g")
    SubElement(group, "title").text = " ".join(filter(None, [drawable(node.name), drawable(node.role), node.ip, said]))
    _add_box(group, place, f"box {kind}".strip(), rounded=8)
    where = " · ".join(filter(None, [drawable(node.role), node.ip]))
    for row, (line, style) in enumerate(((drawable(node.name), "name"), (where, "small"), (said, "small"))):
        _add_text(group, cut_short(line, _LETTERS if style == "name" else _LETTERS + 3), _row(place, row), style)


def _add_box(parent: Element, place: Place, kind: str, *, rounded: float) -> None:
    corner = {"x": _n(place[0] - BOX_WIDTH / 2), "y": _n(place[1] - BOX_HEIGHT / 2)}
    size = {"width": _n(BOX_WIDTH), "height": _n(BOX_HEIGHT), "rx": _n(rounded)}
    SubElement(parent, "rect", {"class": kind, **corner, **size})


def _add_line(parent: Element, start: Place, end: Place, attributes: Mapping[str, str]) -> None:
    ends = {"x1": _n(start[0]), "y1": _n(start[1]), "x2": _n(end[0]), "y2": _n(end[1])}
    SubElement(parent, "line", {**ends, **attributes})


def _add_text(parent: Element, text: str, place: Place, kind: str = "small", *, anchor: str = "middle") -> None:
    attributes = {"x": _n(place[0]), "y": _n(place[1]), "text-anchor": anchor, "class": kind}
    SubElement(parent, "text", attributes).text = text


def _row(place: Place, row: int) -> Place:
    return place[0], place[1] + (row - 1) * _LINE + 4


def _beyond_box(inside: Place, towards: Place) -> Place:
    """Where the line from the center of a box leaves it, and a little further."""
    along = _direction(inside, towards)
    reach = min(
        (BOX_WIDTH / 2 + 4) / abs(along[0]) if along[0] else math.inf,
        (BOX_HEIGHT / 2 + 4) / abs(along[1]) if along[1] else math.inf,
    )
    return _plus(inside, _scaled(along, reach))


def _direction(start: Place, end: Place, *, turned: bool = False) -> Place:
    length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
    x, y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    return (-y, x) if turned else (x, y)


def _pointing(start: Place, end: Place) -> str:
    """An arrow of text that points about as the line does."""
    turn = math.atan2(end[1] - start[1], end[0] - start[0])
    return "→↘↓↙←↖↑↗"[round(turn / (math.pi / 4)) % 8]


def _plus(one: Place, other: Place) -> Place:
    return one[0] + other[0], one[1] + other[1]


def _scaled(place: Place, by: float) -> Place:
    return place[0] * by, place[1] * by


def _n(number: float) -> str:
    """A number of the picture: to a tenth of a pixel, so that it is the same on every machine."""
    return f"{round(number, 1) + 0.0:g}"
