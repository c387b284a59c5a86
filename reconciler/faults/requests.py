"""From what a person or an agent says to a request for a fault: one meaning for tools and commands. Pure.

What only the cluster can tell (unknown nodes, values out of range) is checked where the fault is created.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic import TypeAdapter

from reconciler.errors import InvalidArgument
from reconciler.model.choices import CutMode, Direction, ShapeName
from reconciler.model.faults import ImpairRequest, PartitionRequest, PartitionShape
from reconciler.model.links import Impairment
from reconciler.model.names import ALL_NODES

_SHAPE: TypeAdapter[PartitionShape] = TypeAdapter(PartitionShape)
_MODELS = {ShapeName(model.model_fields["shape"].default): model for model in get_args(get_args(PartitionShape)[0])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The sides of a partition: two groups, several groups, a shape, or single cuts."""

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
    """The request for a partition. Raises `InvalidArgument` for arguments the shape does not use: none is ignored."""
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
    """The shape's model with the arguments it has fields for; any others were refused."""
    given = {"groups": _groups_of(sides), "node": sides.node, "grudge": sides.grudge}
    model = _MODELS[sides.shape]
    fields = {name: value for name, value in given.items() if name in model.model_fields}
    return _SHAPE.validate_python({"shape": sides.shape.value, **fields})


def _groups_of(sides: Sides) -> tuple[tuple[str, ...], ...] | None:
    """The groups; None if a shape lays them over all nodes, which only `groups` cannot."""
    return _named_groups(sides) if _names_groups(sides) or sides.shape is ShapeName.GROUPS else None


def _named_groups(sides: Sides) -> tuple[tuple[str, ...], ...]:
    groups = sides.groups if sides.groups is not None else (sides.partition_a, sides.partition_b)
    return tuple(map(tuple, groups))


def _names_groups(sides: Sides) -> bool:
    return sides.groups is not None or bool(sides.partition_a or sides.partition_b)


def _useless(sides: Sides) -> Iterator[str]:
    shape, takes = sides.shape, _MODELS[sides.shape].model_fields
    two = bool(sides.partition_a or sides.partition_b)
    if two and ("groups" not in takes or sides.groups is not None):
        other = "groups" if "groups" in takes else f"shape {shape}"
        yield f"partition_a and partition_b have no effect with {other} (leave them empty)"
    if sides.groups is not None and "groups" not in takes:
        yield f"groups have no effect with shape {shape} (omit one of the two)"
    if sides.node is not None and "node" not in takes:
        taking = " and ".join(name for name, model in _MODELS.items() if "node" in model.model_fields)
        yield f"`node` has no effect with shape {shape} (it is for the shapes {taking})"
    if sides.grudge is not None and "grudge" not in takes:
        yield f"`grudge` has no effect with shape {shape} (use shape grudge)"
    if not sides.grudge and "grudge" in takes:
        yield f"shape {shape} needs `grudge`: for each receiving node, the senders that it must not hear"


def _useless_seed(sides: Sides, seed: int | None) -> Iterator[str]:
    spelled_out = sides.shape in (ShapeName.GROUPS, ShapeName.GRUDGE) or _names_groups(sides)
    if seed is not None and (spelled_out or (sides.shape is ShapeName.ONE and sides.node is not None)):
        yield f"`seed` has no effect with shape {sides.shape} and named nodes (there is nothing to shuffle)"
