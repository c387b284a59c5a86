"""The kinds of network faults: everything that distinguishes one kind from another is its row in `KINDS`. Pure.

The code that folds, lists, explains and checks faults asks the row, so a new kind is a row, its models in
`reconciler.model.faults`, and its command and tool.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from reconciler.faults.requests import Sides, impair_request, partition_request
from reconciler.faults.validate import impair_fault, isolated_nodes, partition_fault
from reconciler.faults.words import (
    impairment_in_words,
    parameters_of_impairment,
    parameters_of_partition,
    sides_in_words,
)
from reconciler.model.choices import CutMode, Direction
from reconciler.model.faults import (
    FaultRequest,
    FaultType,
    Grudge,
    ImpairFault,
    ImpairRequest,
    ImpairTopology,
    PartitionFault,
    PartitionRequest,
    PartitionTopology,
    WantedFault,
)
from reconciler.model.links import HOST, Impairment, Link

R = TypeVar("R")
F = TypeVar("F")
R_contra = TypeVar("R_contra", contravariant=True)
F_co = TypeVar("F_co", covariant=True)
Pair = tuple[str, str]
"""A sender and a receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one fault demands of the links between some nodes, whatever other faults affect them.

    `ends` are the nodes at either end of an affected link. The links of `cuts` pass nothing, the cables of `pulled` are
    out, and those of `impaired`, where a pair may occur twice if the host is included, get `impairment`.
    """

    ends: Collection[str]
    cuts: Grudge = field(default_factory=dict)
    pulled: frozenset[str] = frozenset()
    impaired: tuple[Pair, ...] = ()
    impairment: Impairment | None = None


class Made(Protocol[R_contra, F_co]):
    """Makes the fault that a request means for these nodes. Raises what `reconciler.faults.validate` raises."""

    def __call__(
        self,
        request: R_contra,
        nodes: Sequence[str],
        *,
        handle_id: str,
        created_at: datetime,
        expires_at: datetime | None = None,
    ) -> F_co: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind(Generic[R, F]):
    """One kind of fault, from a request or the topology's block for it to its effect on links."""

    request: type[R]
    block: str
    declared: Callable[[Any], R]
    made: Made[R, F]
    effect: Callable[[F, Collection[str]], Effect]
    parameters: Callable[[F], dict[str, Any]]
    told: Callable[[F, Link], str]


def fault_kind_of(request: FaultRequest) -> tuple[FaultType, FaultKind[Any, Any]]:
    """The kind of a request."""
    return next((name, kind) for name, kind in KINDS.items() if isinstance(request, kind.request))


def made(
    request: FaultRequest,
    nodes: Sequence[str],
    *,
    number: int,
    created_at: datetime,
    expires_at: datetime | None = None,
) -> WantedFault:
    """The desired fault for a request, with a handle made of its kind and number.

    Raises `NodeNotFound`, `InvalidArgument` and `NoParameters`.
    """
    name, kind = fault_kind_of(request)
    fault: WantedFault = kind.made(
        request, nodes, handle_id=f"{name}-{number}", created_at=created_at, expires_at=expires_at
    )
    return fault


def effect_of(fault: WantedFault, nodes: Collection[str]) -> Effect:
    """What a fault demands of the links between these nodes."""
    return KINDS[fault.fault_type].effect(fault, nodes)


def pulled_by(faults: Mapping[str, WantedFault], node: str) -> list[str]:
    """The faults that unplug a node's cable."""
    return [handle for handle, fault in faults.items() if node in effect_of(fault, ()).pulled]


# Partitions.


def _declared_partition(block: PartitionTopology) -> PartitionRequest:
    sides = Sides(shape=block.shape, groups=block.groups, node=block.node, grudge=block.grudge)
    return partition_request(sides, direction=block.direction, mode=block.mode, seed=block.seed)


def _effect_of_partition(fault: PartitionFault, _nodes: Collection[str]) -> Effect:
    """Isolation depends on the fault alone: a node added later does not plug the cable in again."""
    ends = {*fault.grudge, *(sender for senders in fault.grudge.values() for sender in senders)}
    if fault.request.mode is CutMode.LINK_DOWN:
        return Effect(ends=ends, pulled=isolated_nodes(fault.grudge, sorted(ends)))
    return Effect(ends=ends, cuts=fault.grudge)


def _partition_in_words(fault: PartitionFault, _link: Link) -> str:
    return f"partition ({fault.request.shape.shape}, {fault.request.mode}) {sides_in_words(fault)}"


# Impairments.


def _declared_impairment(block: ImpairTopology) -> ImpairRequest:
    impairment = Impairment.model_validate(block.model_dump(include=set(Impairment.model_fields)))
    return impair_request(
        block.source, block.target, impairment, direction=block.direction, include_host=block.include_host
    )


def _effect_of_impairment(fault: ImpairFault, nodes: Collection[str]) -> Effect:
    pairs = tuple(_hit_pairs(fault.request, nodes))
    ends = {node for pair in pairs for node in pair}
    return Effect(ends=ends, impaired=pairs, impairment=fault.request.impairment)


def _hit_pairs(request: ImpairRequest, nodes: Collection[str]) -> Iterator[Pair]:
    peers = [node for node in nodes if node != request.source] if request.targets is None else list(request.targets)
    if request.source not in nodes:
        return
    for peer in [peer for peer in peers if peer in nodes] + [HOST] * request.include_host:
        if request.direction is not Direction.FROM:
            yield _shapeable(request.source, peer)
        if request.direction is not Direction.TO:
            yield _shapeable(peer, request.source)


def _shapeable(sender: str, receiver: str) -> Pair:
    """What a node sends to the host never leaves by a tap: it is shaped on the way back (see `ImpairRequest`)."""
    return (receiver, sender) if receiver == HOST else (sender, receiver)


def _impairment_in_words(_fault: ImpairFault, link: Link) -> str:
    return f"impairment: {impairment_in_words(link.impairment)}" if link.impairment else "impairment"


KINDS: Mapping[FaultType, FaultKind[Any, Any]] = {
    FaultType.PARTITION: FaultKind(
        request=PartitionRequest,
        block="partition",
        declared=_declared_partition,
        made=partition_fault,
        effect=_effect_of_partition,
        parameters=parameters_of_partition,
        told=_partition_in_words,
    ),
    FaultType.IMPAIRMENT: FaultKind(
        request=ImpairRequest,
        block="impair",
        declared=_declared_impairment,
        made=impair_fault,
        effect=_effect_of_impairment,
        parameters=lambda fault: parameters_of_impairment(fault.request),
        told=_impairment_in_words,
    ),
}
