"""Shapes of partitions: pure functions from nodes to the grudge that the shape means.

The shapes and their names are those of Jepsen's nemesis (jepsen-io/jepsen, `jepsen.nemesis`). Where Jepsen shuffles,
the order of the nodes depends only on their names and a seed, so that a seed always gives the same grudge.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, assert_never

from reconciler.model.base import Frozen
from reconciler.model.choices import Direction
from reconciler.model.faults import (
    Bridge,
    ExplicitGrudge,
    Groups,
    Grudge,
    Halves,
    MajoritiesRing,
    One,
    PartitionRequest,
    PartitionShape,
)

EXACT_RING_MAX_NODES = 5

Sides = tuple[Sequence[str], Sequence[str]]

S = TypeVar("S", bound=PartitionShape)


@dataclass(frozen=True, kw_only=True)
class ShapeRule(Generic[S]):
    """What a shape means: its cuts over nodes in an order, and the fewest nodes that it can be laid over.

    `two_sided` says whether it has a first and a second side, so that it can be cut one way only.
    """

    grudge: Callable[[S, Sequence[str], Direction], Grudge]
    smallest: int = 1
    two_sided: Callable[[S], bool] = lambda _shape: False


def rule_of(shape: PartitionShape) -> "ShapeRule[Any]":
    """The rule of a shape."""
    return RULES[type(shape)]


def resolve_partition(request: PartitionRequest, nodes: Sequence[str]) -> Grudge:
    """The grudge that a checked request means for these nodes."""
    order = shuffled(nodes, request.seed)
    return rule_of(request.shape).grudge(request.shape, order, request.direction)


def nodes_named(shape: PartitionShape) -> tuple[str, ...]:
    """Every node that a shape names, in whichever of its fields."""
    alone, groups, grudge = (getattr(shape, name, None) for name in ("node", "groups", "grudge"))
    grouped = (node for group in groups or () for node in group)
    cut = (node for receiver, senders in (grudge or {}).items() for node in (receiver, *senders))
    return (*([] if alone is None else [alone]), *grouped, *cut)


def shuffled(nodes: Sequence[str], seed: int | None) -> tuple[str, ...]:
    """The nodes in an order that only their names and the seed decide; unchanged without a seed."""
    if seed is None:
        return tuple(nodes)
    return tuple(sorted(nodes, key=lambda node: hashlib.sha256(f"{seed}/{node}".encode()).digest()))


def bisect(nodes: Sequence[str]) -> Sides:
    """Two halves, the second one larger if they cannot be equal."""
    middle = len(nodes) // 2
    return nodes[:middle], nodes[middle:]


def split_one(nodes: Sequence[str], loner: str | None = None) -> Sides:
    """One node, by default the first, and all others."""
    alone = nodes[0] if loner is None else loner
    return (alone,), tuple(node for node in nodes if node != alone)


def complete_grudge(groups: Sequence[Sequence[str]]) -> Grudge:
    """No node hears a node of another group."""
    return _grudge(
        (receiver, (sender for other in groups if other is not group for sender in other))
        for group in groups
        for receiver in group
    )


def directed_grudge(groups: Sequence[Sequence[str]], direction: Direction) -> Grudge:
    """Nothing sent from the first of two groups to the second, back, or either way is heard."""
    match direction:
        case Direction.BOTH:
            return complete_grudge(groups)
        case Direction.TO:
            first, second = groups
            return _grudge((receiver, first) for receiver in second)
        case Direction.FROM:
            first, second = groups
            return _grudge((receiver, second) for receiver in first)
        case _:
            assert_never(direction)


def bridge(nodes: Sequence[str], between: str) -> Grudge:
    """Two halves that cannot reach each other, and one node that reaches both."""
    half = len(nodes) // 2
    others = [node for node in nodes if node != between]
    return complete_grudge((others[:half], others[half:]))


def bridging_node(shape: Bridge, order: Sequence[str]) -> str:
    """The node that reaches both sides of a bridge, by default the middle one."""
    return shape.node or order[len(order) // 2]


def majorities_ring(nodes: Sequence[str]) -> Grudge:
    """Every node hears a majority (itself included), and no two nodes hear the same one.

    Up to five nodes exactly as in Jepsen: each majority of neighbours on a ring is heard by the node in its middle.
    Above that Jepsen picks links at random; here each node hears its nearest neighbours on the ring, the same number
    on both sides, and the node opposite if the number is odd, so that hearing is always mutual.
    """
    heard = _exact_ring if len(nodes) <= EXACT_RING_MAX_NODES else _mutual_ring
    return _grudge((node, (other for other in nodes if other not in friends)) for node, friends in heard(nodes).items())


def _exact_ring(nodes: Sequence[str]) -> dict[str, set[str]]:
    majority = len(nodes) // 2 + 1
    windows = [[nodes[(start + step) % len(nodes)] for step in range(majority)] for start in range(len(nodes))]
    return {window[majority // 2]: set(window) for window in windows}


def _mutual_ring(nodes: Sequence[str]) -> dict[str, set[str]]:
    count, others = len(nodes), len(nodes) // 2
    opposite = [count // 2] if others % 2 and count % 2 == 0 else []
    reach = others // 2 if opposite else (others + 1) // 2
    steps = [*range(-reach, reach + 1), *opposite]
    return {node: {nodes[(index + step) % count] for step in steps} for index, node in enumerate(nodes)}


def _grudge(entries: Iterable[tuple[str, Iterable[str]]]) -> Grudge:
    """Sorted, without receivers that miss nothing: two grudges that mean the same are equal, also as text."""
    dropped = {receiver: tuple(sorted(set(senders))) for receiver, senders in entries}
    return {receiver: dropped[receiver] for receiver in sorted(dropped) if dropped[receiver]}


def _between(shape: Bridge, order: Sequence[str]) -> Grudge:
    return complete_grudge(shape.groups) if shape.groups else bridge(order, bridging_node(shape, order))


RULES: Mapping[type[Frozen], ShapeRule[Any]] = {
    Groups: ShapeRule[Groups](
        grudge=lambda shape, _order, direction: directed_grudge(shape.groups, direction),
        two_sided=lambda shape: len(shape.groups) == 2,  # noqa: PLR2004
    ),
    Halves: ShapeRule[Halves](
        grudge=lambda _shape, order, direction: directed_grudge(bisect(order), direction),
        smallest=2,
        two_sided=lambda _shape: True,
    ),
    One: ShapeRule[One](
        grudge=lambda shape, order, direction: directed_grudge(split_one(order, shape.node), direction),
        smallest=2,
        two_sided=lambda _shape: True,
    ),
    Bridge: ShapeRule[Bridge](grudge=lambda shape, order, _direction: _between(shape, order), smallest=3),
    MajoritiesRing: ShapeRule[MajoritiesRing](
        grudge=lambda _shape, order, _direction: majorities_ring(order), smallest=3
    ),
    ExplicitGrudge: ShapeRule[ExplicitGrudge](grudge=lambda shape, _order, _direction: _grudge(shape.grudge.items())),
}
"""By the model of each shape."""
