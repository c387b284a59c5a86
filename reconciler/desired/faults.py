"""The faults of a topology: checked one by one against the nodes, and resolved to what a record stores. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from reconciler.errors import ClusterError, NodeNotFound
from reconciler.faults.requests import Sides, impair_request, partition_request
from reconciler.faults.validate import expiry, impair_fault, partition_fault
from reconciler.model.faults import DeclaredFault, ImpairRequest, PartitionRequest
from reconciler.model.links import Impairment
from reconciler.model.topology import FaultTopology, ImpairTopology, PartitionTopology
from reconciler.source.problems import Finding, Location

_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def resolve_faults(faults: Sequence[FaultTopology]) -> dict[str, DeclaredFault]:
    """Checked faults by name."""
    return {fault.name: DeclaredFault(request=_request(fault), duration_s=fault.duration_s) for fault in faults}


def check_fault(fault: FaultTopology, location: Location, nodes: Sequence[str]) -> Iterator[Finding]:
    """What is wrong with one fault of a topology with these nodes."""
    if (fault.partition is None) is (fault.impair is None):
        yield Finding(location, "needs either a partition or an impair block (write exactly one of them)")
        return
    block = (*location, "partition" if fault.impair is None else "impair")
    try:
        expiry(_SOME_TIME, fault.duration_s)
    except ClusterError as error:
        yield Finding((*location, "duration_s"), str(error))
    try:
        _try_out(fault, nodes)
    except NodeNotFound as error:
        yield Finding(_place_of(error.node or "", fault, block), str(error))
    except ClusterError as error:
        yield Finding(block, str(error))


def _try_out(fault: FaultTopology, nodes: Sequence[str]) -> None:
    request = _request(fault)
    if isinstance(request, PartitionRequest):
        partition_fault(request, nodes, handle_id=fault.name, created_at=_SOME_TIME)
    else:
        impair_fault(request, nodes, handle_id=fault.name, created_at=_SOME_TIME)


def _request(fault: FaultTopology) -> PartitionRequest | ImpairRequest:
    if fault.partition is not None:
        return _partition(fault.partition)
    assert fault.impair is not None, "a checked fault has one of the two"
    return _impair(fault.impair)


def _partition(block: PartitionTopology) -> PartitionRequest:
    sides = Sides(shape=block.shape, groups=block.groups, node=block.node, grudge=block.grudge)
    return partition_request(sides, direction=block.direction, mode=block.mode, seed=block.seed)


def _impair(block: ImpairTopology) -> ImpairRequest:
    impairment = Impairment.model_validate(block.model_dump(include=set(Impairment.model_fields)))
    return impair_request(
        block.source, block.target, impairment, direction=block.direction, include_host=block.include_host
    )


def _place_of(node: str, fault: FaultTopology, block: Location) -> Location:
    """The location of an unknown node's name, or of the whole block."""
    named = (fault.partition or fault.impair or fault).model_dump()
    return (*block, *next(_places(node, named), ()))


def _places(node: str, value: object) -> Iterator[Location]:
    if value == node:
        yield ()
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, child in entries:
        if key == node:
            yield (key,)
        yield from ((key, *place) for place in _places(node, child))
