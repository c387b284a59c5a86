"""From a user's request to a desired fault, or one error that names every impossible value with its remedy."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from reconciler.errors import InvalidArgument, NodeNotFound, NoParameters, meant
from reconciler.faults.shapes import bridging_node, nodes_named, resolve_partition, rule_of, shuffled
from reconciler.model.choices import CutMode, Direction, Distribution
from reconciler.model.faults import (
    Bridge,
    ExplicitGrudge,
    Groups,
    Grudge,
    ImpairFault,
    ImpairRequest,
    PartitionFault,
    PartitionRequest,
    PartitionShape,
)
from reconciler.model.links import Impairment

DELAY_MAX_MS = 60_000
JITTER_MAX_MS = 2000
PCT_MIN = 0.0001  # netem counts in 2^-32, `tc -j` (iproute2 6.1) shows six digits of a fraction
DELAY_MIN_MS = 0.001
RATE_MAX_KBIT = 40_000_000
LIMIT_MAX_PACKETS = 10_000_000
GAP_MAX = 1_000_000
DURATION_MAX_S = 365 * 24 * 3600

_PERCENTAGES = (
    "delay_correlation_pct",
    "loss_pct",
    "loss_correlation_pct",
    "duplicate_pct",
    "corrupt_pct",
    "reorder_pct",
    "reorder_correlation_pct",
)
_NEEDS = {
    "jitter_ms": ("delay_ms",),
    "delay_correlation_pct": ("jitter_ms",),
    "loss_correlation_pct": ("loss_pct",),
    "reorder_pct": ("delay_ms",),
    "reorder_correlation_pct": ("reorder_pct",),
    "reorder_gap": ("reorder_pct",),
    "limit_packets": ("delay_ms", "loss_pct", "duplicate_pct", "corrupt_pct", "rate_kbit"),
}
"""Without one of the latter the former has no effect: that is an error for the caller, never a silent no-op."""


def partition_fault(
    request: PartitionRequest,
    nodes: Sequence[str],
    *,
    handle_id: str,
    created_at: datetime,
    expires_at: datetime | None = None,
) -> PartitionFault:
    """The desired fault for a request, its shape resolved once over the cluster's `nodes`.

    Raises `NodeNotFound` and `InvalidArgument`.
    """
    refuse_unknown(nodes_named(request.shape), nodes)
    _refuse([*_problems_of_shape(request.shape, nodes), *_problems_of_direction(request)])
    grudge = resolve_partition(request, nodes)
    if not grudge:
        raise InvalidArgument("the partition cuts nothing", hint="name at least one receiver and one sender")
    if request.mode is CutMode.LINK_DOWN:
        _refuse(_problems_of_link_down(grudge, nodes))
    return PartitionFault(
        handle_id=handle_id,
        created_at=created_at,
        expires_at=expires_at,
        request=request,
        grudge=grudge,
        bridge=bridging_node(request.shape, shuffled(nodes, request.seed))
        if isinstance(request.shape, Bridge)
        else None,
    )


def impair_fault(
    request: ImpairRequest,
    nodes: Sequence[str],
    *,
    handle_id: str,
    created_at: datetime,
    expires_at: datetime | None = None,
) -> ImpairFault:
    """The desired fault for a request. Raises `NodeNotFound`, `InvalidArgument` and `NoParameters`."""
    refuse_unknown((request.source, *(request.targets or ())), nodes)
    problems = [*_problems_of_impairment(request.impairment), *_problems_of_targets(request, nodes)]
    if request.impairment == Impairment():
        raise NoParameters(
            "no impairment was requested: every parameter is zero",
            hint="give `delay_ms`, `loss_pct`, `duplicate_pct`, `corrupt_pct` or `rate_kbit`",
        )
    _refuse(problems)
    return ImpairFault(handle_id=handle_id, created_at=created_at, expires_at=expires_at, request=request)


def expiry(created_at: datetime, duration_s: float | None) -> datetime | None:
    """When a fault heals by itself; None: never. Raises `InvalidArgument`."""
    if duration_s is None:
        return None
    if not 0 < duration_s <= DURATION_MAX_S:  # also refuses NaN
        raise InvalidArgument(
            f"`duration_s` is {duration_s:g}",
            hint=f"give more than 0 and at most {DURATION_MAX_S} seconds, or omit it to heal by hand",
        )
    return created_at + timedelta(seconds=duration_s)


def isolated_nodes(grudge: Grudge, nodes: Sequence[str]) -> frozenset[str]:
    """The nodes that neither hear nor are heard by any other."""
    others = len(nodes) - 1
    unheard = Counter(sender for senders in grudge.values() for sender in senders)
    return frozenset(node for node in nodes if len(grudge.get(node, ())) == others == unheard[node])


def _refuse(problems: Sequence[str] | Iterator[str]) -> None:
    if found := list(problems):
        raise InvalidArgument("; ".join(found))


def refuse_unknown(named: Sequence[str], nodes: Sequence[str]) -> None:
    """Raise `NodeNotFound` where a node is named that the cluster has not."""
    if unknown := sorted(set(named) - set(nodes)):
        raise NodeNotFound(
            f"no node named {', '.join(map(repr, unknown))} in this cluster",
            node=unknown[0],
            hint=meant(unknown[0], nodes, f"its nodes are {', '.join(nodes)}"),
        )


def _problems_of_shape(shape: PartitionShape, nodes: Sequence[str]) -> Iterator[str]:
    needed = rule_of(shape).smallest
    if len(nodes) < needed:
        yield f"shape {shape.shape} needs at least {needed} nodes, and this cluster has {len(nodes)}"
    if isinstance(shape, Groups):
        yield from _problems_of_groups(shape.groups)
    if isinstance(shape, Bridge) and shape.groups is not None:
        yield from _problems_of_bridge(shape.node, shape.groups)
    if isinstance(shape, ExplicitGrudge):
        yield from _problems_of_grudge(shape.grudge)


def _problems_of_groups(groups: Sequence[Sequence[str]]) -> Iterator[str]:
    if len(groups) < 2:  # noqa: PLR2004 it takes two sides to part
        yield f"name at least two groups of nodes, not {len(groups)}, or a `shape` that groups all nodes"
    for index, group in enumerate(groups):
        if not group:
            yield f"group {index + 1} is empty (name at least one node in it)"
    seen = Counter(node for group in groups for node in group)
    for node in sorted(node for node, times in seen.items() if times > 1):
        yield f"node {node!r} is named {seen[node]} times (name a node in one group, once)"


def _problems_of_bridge(between: str | None, groups: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from _problems_of_groups(groups)
    if len(groups) > 2:  # noqa: PLR2004 a bridge has two ends
        yield f"shape bridge has two sides, but {len(groups)} groups were given"
    if between is None:
        yield "shape bridge between named groups needs its node (name the one that reaches both sides with `node`)"
    elif any(between in group for group in groups):
        yield f"node {between!r} is the bridge and also in a group (remove it from both groups)"


def _problems_of_grudge(grudge: Grudge) -> Iterator[str]:
    for receiver, senders in grudge.items():
        if receiver in senders:
            yield f"node {receiver!r} is cut from itself (remove it from its own senders)"
        if not senders:
            yield f"node {receiver!r} is cut from no node (name senders, or remove it)"


def _problems_of_direction(request: PartitionRequest) -> Iterator[str]:
    shape = request.shape
    if request.direction is not Direction.BOTH and not rule_of(shape).two_sided(shape):
        yield (
            f"direction is {request.direction}, but shape {shape.shape} does not have two sides "
            "(omit `direction`, or list the cuts in `grudge`)"
        )


def _problems_of_link_down(grudge: Grudge, nodes: Sequence[str]) -> Iterator[str]:
    alone = isolated_nodes(grudge, nodes)
    rest = {receiver for receiver, senders in grudge.items() if receiver not in alone and not alone >= set(senders)}
    if rest:
        yield (
            f"mode link-down pulls a node's only cable, but {', '.join(sorted(rest))} would still hear others "
            "(use mode drop, or a shape that isolates single nodes from all others)"
        )


def _problems_of_targets(request: ImpairRequest, nodes: Sequence[str]) -> Iterator[str]:
    targets = request.targets
    if targets is None:
        if len(nodes) == 1 and not request.include_host:
            yield "the cluster has no other node to impair traffic with (`include_host` impairs the host's)"
    elif not targets and not request.include_host:
        yield "target is empty (name nodes, or omit it for all others)"
    elif request.source in targets:
        yield f"node {request.source!r} is both source and target (a node's traffic with itself never leaves it)"
    elif len(set(targets)) < len(targets):
        yield "target names a node twice (name each node once)"


def _problems_of_impairment(asked: Impairment) -> Iterator[str]:
    yield from _out_of_range("delay_ms", asked.delay_ms, DELAY_MIN_MS, DELAY_MAX_MS)
    yield from _out_of_range("jitter_ms", asked.jitter_ms, DELAY_MIN_MS, JITTER_MAX_MS)
    for name in _PERCENTAGES:
        yield from _out_of_range(name, getattr(asked, name), PCT_MIN, 100)
    yield from _out_of_range("reorder_gap", asked.reorder_gap, 1, GAP_MAX)
    yield from _out_of_range("rate_kbit", asked.rate_kbit, 1, RATE_MAX_KBIT)
    yield from _out_of_range("limit_packets", asked.limit_packets, 1, LIMIT_MAX_PACKETS)
    yield from _problems_of_combination(asked)


def _out_of_range(name: str, value: float, least: float, most: float) -> Iterator[str]:
    if math.isnan(value) or not (value == 0 or least <= value <= most):
        yield f"`{name}` is {value:g} (give {least:g} to {most:g}, or 0 for none)"


def _problems_of_combination(asked: Impairment) -> Iterator[str]:
    for name, needed in _NEEDS.items():
        if getattr(asked, name) and not any(getattr(asked, other) for other in needed):
            others = " or ".join(f"`{other}`" for other in needed)
            yield f"`{name}` has no effect without {others} (set that too, or omit it)"
    if asked.jitter_ms > asked.delay_ms > 0:
        yield f"`jitter_ms` {asked.jitter_ms:g} exceeds `delay_ms` {asked.delay_ms:g} (no packet arrives early)"
    if asked.distribution is not Distribution.UNIFORM and not asked.jitter_ms:
        yield f"distribution {asked.distribution} has no effect without `jitter_ms` (set that too, or omit it)"
