"""What the page is told, as data for JSON. Text of guests stays text, which the page never takes for markup."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from reconciler.drawing.circle_layout import BOX_HEIGHT, BOX_WIDTH, Layout, lay_out
from reconciler.drawing.drawn_edges import MOST_EDGES, edges_of, left_out
from reconciler.model.event import ClusterEvent
from reconciler.model.graph import GraphNode
from reconciler.model.kernel_log import DmesgResult
from reconciler.model.plan import Disruption
from reconciler.model.results import ClusterSummary
from reconciler.model.status import Condition, ConditionType
from reconciler.records.plan_view import PlanView
from reconciler.usecases.live_view import LiveView
from reconciler.usecases.revert_losses import RevertLosses

Spell = Callable[[str], str]
"""Spells the calls that a message names as its reader types them."""


def encoded(message: Any) -> bytes:
    """JSON in one line of ASCII: bytes that were no text stay escaped."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def clusters_message(clusters: Iterable[ClusterSummary]) -> list[dict[str, Any]]:
    """The list of clusters."""
    return [
        {"name": of.cluster_name, "nodes": of.node_count, "destroyed": of.destroyed, "ready": _ready(of.conditions)}
        for of in clusters
    ]


def _ready(conditions: Iterable[Condition]) -> str:
    return next((of.status.value for of in conditions if of.type is ConditionType.READY), "Unknown")


def view_message(view: LiveView, spell: Spell) -> dict[str, Any]:
    """A cluster as it is drawn. Times at which something ends are absolute, so that equal views are equal."""
    graph, layout, edges = view.graph, lay_out(len(view.graph.nodes)), edges_of(view.graph)
    return {
        "name": graph.cluster_name,
        "generation": view.record.generation,
        "settled": view.settled,
        "trouble": spell(view.trouble),
        "network": {"name": graph.network, "subnet": graph.subnet, "active": graph.network_active},
        "layout": _layout_message(layout),
        "nodes": [
            {**_node_message(node, view, spell), "x": round(x, 1), "y": round(y, 1)}
            for node, (x, y) in zip(graph.nodes, layout.nodes, strict=True)
        ],
        "edges": [
            {
                "from": edge.sender,
                "to": edge.receiver,
                "both": edge.both,
                "cut": edge.cut,
                "effect": edge.effect,
                "ends_at": _ends_at(view.at, edge.heals_in_s),
            }
            for edge in edges[:MOST_EDGES]
        ],
        "left_out": left_out(edges),
        "faults": [
            {"name": of.name, "effect": of.effect, "ends_at": _ends_at(view.at, of.heals_in_s)} for of in graph.faults
        ],
        "conditions": [
            {
                "type": of.type.value,
                "status": of.status.value,
                "reason": of.reason,
                "message": spell(of.message),
                "since": of.last_transition.timestamp(),
                "good": (of.status.value == "True") is not (of.type is ConditionType.DRIFTED),
            }
            for of in view.conditions
        ],
        "snapshots": [
            {"name": name, "memory": of.include_memory, "taken": name in view.taken}
            for name, of in view.record.snapshots.items()
        ],
    }


def _layout_message(layout: Layout) -> dict[str, float]:
    (x, y) = layout.network
    size = {"width": round(layout.width, 1), "height": round(layout.height, 1)}
    return {**size, "x": round(x, 1), "y": round(y, 1), "box_width": BOX_WIDTH, "box_height": BOX_HEIGHT}


def _node_message(node: GraphNode, view: LiveView, spell: Spell) -> dict[str, Any]:
    spec = view.record.spec.nodes[node.name]
    said = {**asdict(node), "state": node.state.value, "problem": spell(node.problem)}
    return {**said, "host": spec.host, "video": spec.video}


def _ends_at(now: datetime, heals_in_s: float | None) -> float | None:
    return None if heals_in_s is None else round((now + timedelta(seconds=heals_in_s)).timestamp(), 1)


def event_message(event: ClusterEvent, spell: Spell) -> dict[str, Any]:
    """One event."""
    return {
        "number": event.number,
        "at": event.at.timestamp(),
        "kind": event.kind.value,
        "subject": event.subject,
        "message": spell(event.message),
        "node": event.node,
        "host": event.host,
    }


def plan_message(plan: PlanView, spell: Spell) -> dict[str, Any]:
    """What a controller would do now."""
    return {
        "converged": plan.converged,
        "actions": [
            {
                "address": of.address,
                "action": of.action,
                "change": of.change,
                "reason": spell(of.reason),
                "cost": "" if of.disruption is Disruption.NONE else of.disruption.value,
                "drift": of.drift,
            }
            for of in plan.actions
        ],
        "obstacles": [{"node": of.node, "message": spell(of.message)} for of in plan.obstacles],
        "warnings": [spell(of) for of in plan.warnings],
    }


def kernel_message(log: DmesgResult, spell: Spell) -> dict[str, Any]:
    """What a kernel reported, and its warnings and errors."""
    return {
        "source": log.source.value,
        "note": spell(log.message or ""),
        "events": [
            {"kind": of.kind, "summary": of.summary, "at": of.timestamp, "lines": of.lines} for of in log.events
        ],
        "lines": [{"at": of.timestamp, "level": of.level, "text": of.text} for of in log.lines],
    }


def losses_message(losses: RevertLosses) -> dict[str, Any]:
    """What a revert would lose."""
    return {
        "taken_at": losses.created_at and losses.created_at.timestamp(),
        "nodes": {
            name: {"memory": of.memory, "written_bytes": of.written_bytes, "kept_by": of.kept_by}
            for name, of in losses.per_node.items()
        },
    }
