"""From what a person or an agent says to a request for a fault: the one meaning of tools and commands. Pure.

What only the cluster can tell (unknown nodes, values out of range) is checked where the fault is made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from reconciler.errors import InvalidArgument
from reconciler.model.faults import (
    Bridge,
    CutMode,
    Direction,
    ExplicitGrudge,
    Groups,
    Halves,
    ImpairRequest,
    MajoritiesRing,
    One,
    PartitionRequest,
    PartitionShape,
    ShapeName,
)
from reconciler.model.links import Impairment
from reconciler.model.names import ALL_NODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Who is parted from whom: by two groups, by several, by a shape, or cut by cut."""

    partition_a: Sequence[str] = ()
    partition_b: Sequence[str] = ()
    shape: ShapeName = ShapeName.GROUPS
    groups: Sequence[Sequence[str]] | None = None
    node: str | None = None
    grudge: Mapping[str, Sequence[str]] | None = None


def partition_request(
    sides: Sides,
    *,
    direction: Direction = Direction.BOTH,
    mode: CutMode = CutMode.DROP,
    seed: int | None = None,
) -> PartitionRequest:
    """The request for a partition. Raises `InvalidArgument` for what the shape has no use for: nothing is ignored."""
    if problems := [*_useless(sides), *_useless_seed(sides, seed)]:
        raise InvalidArgument("; ".join(problems))
    return PartitionRequest(shape=_shape(sides), direction=direction, mode=mode, seed=seed)


def impair_request(
    source: str,
    targets: str | Sequence[str] | None,
    impairment: Impairment,
    *,
    direction: Direction = Direction.TO,
    include_host: bool = False,
) -> ImpairRequest:
    """The request for an impairment; `targets` is one node, a list of them, or "all" (as None) for all others."""
    everyone = targets is None or targets == ALL_NODES or list(targets) == [ALL_NODES]
    named = None if everyone or targets is None else (targets,) if isinstance(targets, str) else tuple(targets)
    return ImpairRequest(
        source=source, targets=named, direction=direction, impairment=impairment, include_host=include_host
    )


def _shape(sides: Sides) -> PartitionShape:
    match sides.shape:
        case ShapeName.GROUPS:
            return Groups(groups=_named_groups(sides))
        case ShapeName.HALVES:
            return Halves()
        case ShapeName.ONE:
            return One(node=sides.node)
        case ShapeName.BRIDGE:
            return Bridge(node=sides.node, groups=_named_groups(sides) if _names_groups(sides) else None)
        case ShapeName.MAJORITIES_RING:
            return MajoritiesRing()
        case ShapeName.GRUDGE:
            return ExplicitGrudge(grudge={to: tuple(senders) for to, senders in (sides.grudge or {}).items()})
        case _:
            assert_never(sides.shape)


def _named_groups(sides: Sides) -> tuple[tuple[str, ...], ...]:
    groups = sides.groups if sides.groups is not None else (sides.partition_a, sides.partition_b)
    return tuple(map(tuple, groups))


def _names_groups(sides: Sides) -> bool:
    return sides.groups is not None or bool(sides.partition_a or sides.partition_b)


def _useless(sides: Sides) -> Iterator[str]:
    shape, takes_groups = sides.shape, sides.shape in (ShapeName.GROUPS, ShapeName.BRIDGE)
    two = bool(sides.partition_a or sides.partition_b)
    if two and (not takes_groups or sides.groups is not None):
        other = "groups" if takes_groups else f"shape {shape}"
        yield f"partition_a and partition_b say nothing beside {other} (leave them empty)"
    if sides.groups is not None and not takes_groups:
        yield f"groups say nothing to shape {shape} (leave one of the two out)"
    if sides.node is not None and shape not in (ShapeName.ONE, ShapeName.BRIDGE):
        yield f"node says nothing to shape {shape} (it is for the shapes one and bridge)"
    if sides.grudge is not None and shape is not ShapeName.GRUDGE:
        yield f"grudge says nothing to shape {shape} (give shape grudge with it)"
    if not sides.grudge and shape is ShapeName.GRUDGE:
        yield "shape grudge needs the grudge: for each receiving node, the senders it shall not hear"


def _useless_seed(sides: Sides, seed: int | None) -> Iterator[str]:
    spelled_out = sides.shape in (ShapeName.GROUPS, ShapeName.GRUDGE) or _names_groups(sides)
    if seed is not None and (spelled_out or (sides.shape is ShapeName.ONE and sides.node is not None)):
        yield f"seed says nothing to shape {sides.shape} with its nodes named (there is nothing to shuffle)"
