"""Drawings of clusters: the picture that the manual shows, every language, hostile names."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import combinations, product
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from reconciler.drawing.circle_layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from reconciler.drawing.drawn_edges import MOST_EDGES
from reconciler.drawing.graph_dot import render_dot
from reconciler.drawing.graph_mermaid import render_mermaid
from reconciler.drawing.graph_svg import render_svg
from reconciler.drawing.graph_text import render_text
from reconciler.model.choices import CutMode
from reconciler.model.faults import Groups, One
from reconciler.model.graph import ClusterGraph, GraphFault, GraphLink, GraphNode
from reconciler.model.links import HOST
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ClusterStatus, DomainState, NodeStatus
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.usecases.cluster_graph import graph_of
from tests.unit.faults.samples import NOW, impair, partition
from tests.unit.store.samples import sample_record

REPOSITORY = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"
RENDERERS = [render_text, render_svg, render_mermaid, render_dot]
NAMES = ("controller", "worker-0", "worker-1", "worker-2")


def drawn_record() -> ClusterRecord:
    """Four nodes, two of them cut off from each other, one slow, one without a cable."""
    record, (node, *_) = sample_record("example"), sample_record().spec.nodes.values()
    sides, soon, later = (("controller",), ("worker-0",)), NOW + timedelta(seconds=42), NOW + timedelta(hours=2)
    alone = One(node="worker-2")
    faults = [
        partition(Groups(groups=sides), NAMES, name="split", expires_at=soon),
        impair("worker-0", "worker-1", nodes=NAMES, name="slow", delay_ms=100, loss_pct=1),
        partition(alone, NAMES, name="pulled", mode=CutMode.LINK_DOWN, expires_at=later),
    ]
    return record.model_copy(
        update={
            "spec": record.spec.model_copy(update={"nodes": dict.fromkeys(NAMES, node)}),
            "faults": {fault.handle_id: fault for fault in faults},
        }
    )


def drawn_status() -> ClusterStatus:
    healthy = Condition(type=ConditionType.KERNEL_HEALTHY, status=ConditionStatus.TRUE, reason="x", last_transition=NOW)
    sick = healthy.model_copy(update={"status": ConditionStatus.FALSE})
    states = (DomainState.RUNNING, DomainState.RUNNING, DomainState.SHUT_OFF, DomainState.RUNNING)
    nodes = [
        NodeStatus(
            name=name,
            role="control" if name == "controller" else "worker",
            ip=f"192.168.100.{10 + number}",
            domain_state=state,
            ssh_reachable=name != "worker-2",
            conditions=(sick if name == "worker-0" else healthy,),
        )
        for number, (name, state) in enumerate(zip(NAMES, states, strict=True))
    ]
    return ClusterStatus(cluster_name="example", network_active=True, nodes=tuple(nodes))


DRAWN = graph_of(drawn_record(), drawn_status(), NOW)


def texts(svg: str) -> list[str]:
    return [of.text or "" for of in fromstring(svg).iter(f"{SVG}text")]


def titled(svg: str) -> dict[str, Element]:
    return {of.findtext(f"{SVG}title", ""): of for of in fromstring(svg).iter(f"{SVG}g")}


def test_the_manual_shows_a_picture_that_is_drawn() -> None:
    page = (REPOSITORY / "specs/manual/commands.md").read_text()
    assert f"$ vmcluster graph example\n{render_text(DRAWN)}```" in page
    assert f"```mermaid\n{render_mermaid(DRAWN)}```" in page


def test_the_svg_shows_power_health_and_each_fault_with_its_direction_and_remaining_time() -> None:
    svg = render_svg(DRAWN)
    assert svg == render_svg(graph_of(drawn_record(), drawn_status(), NOW))
    groups = titled(svg)
    boxes = {name: of.find(f"{SVG}rect") for name, of in groups.items()}
    kinds = {name.split()[0]: box.get("class") for name, box in boxes.items() if box is not None}
    assert kinds == {
        "net-example": "box network",
        "controller": "box running",
        "worker-0": "box sick",
        "worker-1": "box",
        "worker-2": "box sick",
    }
    assert "worker-0 worker 192.168.100.11 running, the kernel is unhealthy" in groups
    assert "worker-2 worker 192.168.100.13 running, cable pulled, no SSH login" in groups
    cut = groups["controller ↔ worker-0: cut, 42 s left"].find(f"{SVG}line")
    slow = groups["worker-0 → worker-1: delays by 100 ms, loses 1 %"].find(f"{SVG}line")
    assert cut is not None
    assert slow is not None
    assert (cut.get("class"), cut.get("marker-start"), cut.get("marker-end")) == ("cut", *["url(#vmcluster-cut)"] * 2)
    assert (slow.get("class"), slow.get("marker-start")) == ("impaired", None)
    cables = [of.get("class") for of in fromstring(svg).iter(f"{SVG}line") if "cable" in of.get("class", "")]
    assert cables == ["cable", "cable", "cable", "cable unplugged"]
    assert "pulled: controller,worker-0,worker-1 | worker-2, 2 h 0 min left" in texts(svg)
    assert not {of.tag for of in fromstring(svg).iter()} & {f"{SVG}script", f"{SVG}a", f"{SVG}image", f"{SVG}use"}


HOSTILE = 'x"]; a --> b <script>alert(1)</script>\n\x1b[2J\x00\ud800\u202e\\" ]]> &amp; | `'


@pytest.mark.parametrize("render", RENDERERS)
def test_hostile_names_are_text_and_nothing_else(render: Callable[[ClusterGraph], str]) -> None:
    node = GraphNode(HOSTILE, HOSTILE, "10.0.0.1", DomainState.RUNNING, HOSTILE)
    plain = GraphNode("a", "", "10.0.0.2", DomainState.PAUSED)
    link = GraphLink("a", HOSTILE, cut=False, effect=HOSTILE, heals_in_s=0)
    graph = ClusterGraph(HOSTILE, HOSTILE, HOSTILE, False, (node, plain), (link,), (GraphFault(HOSTILE, HOSTILE),))
    said = render(graph)
    assert all(char == "\n" or char.isprintable() for char in said)
    nodes = (replace(node, name="b", role="r", problem="p"), plain)
    links = (replace(link, receiver="b", effect="e"),)
    calm = ClusterGraph("c", "n", "s", False, nodes, links, (GraphFault("f", "g"),))
    same = render(calm)
    assert len(said.splitlines()) == len(same.splitlines())
    if render is render_svg:
        assert [of.tag for of in fromstring(said).iter()] == [of.tag for of in fromstring(same).iter()]
    if render is render_mermaid:
        assert not re.search(r"<(?!br/>|-)", said)
        assert said.count('"') == same.count('"')
    if render is render_dot and shutil.which("dot"):
        found = subprocess.run(["dot", "-Tjson"], input=said, capture_output=True, text=True, check=True)
        assert len(json.loads(found.stdout)["objects"]) == 3


def test_boxes_overlap_neither_in_a_circle_nor_in_a_grid() -> None:
    for count in (0, 1, 2, 3, 12, 40, 41, 300):
        layout = lay_out(count)
        places = [*layout.nodes, layout.network]
        assert len(layout.nodes) == count
        for one, other in combinations(places, 2):
            assert abs(one[0] - other[0]) >= BOX_WIDTH or abs(one[1] - other[1]) >= BOX_HEIGHT, count
        assert all(0 < x < layout.width and 0 < y < layout.height for x, y in places)


@pytest.mark.parametrize("render", RENDERERS)
def test_a_picture_of_many_links_says_what_it_leaves_out(render: Callable[[ClusterGraph], str]) -> None:
    names = [f"n{number}" for number in range(50)]
    nodes = tuple(GraphNode(name, "", "10.0.0.1", DomainState.RUNNING) for name in names)
    pairs = [*product(names[:25], names[25:]), *product(names[25:], names[:25]), (HOST, "n0")]
    links = tuple(GraphLink(*pair, cut=True, effect="cut") for pair in pairs)
    said = render(ClusterGraph("c", "n", "s", True, nodes, links))
    assert f"{626 - MOST_EDGES} more links have faults" in said
    assert len(said) < 250_000
