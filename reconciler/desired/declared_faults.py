"""The faults of a topology: checked one by one against the nodes, and resolved to what a record stores. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from reconciler.errors import ClusterError, NodeNotFound
from reconciler.faults.kinds import KINDS, made
from reconciler.faults.validate import expiry
from reconciler.model.faults import DeclaredFault, FaultRequest, FaultTopology
from reconciler.source.problems import Finding, Location

_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def resolve_faults(faults: Sequence[FaultTopology]) -> dict[str, DeclaredFault]:
    """Checked faults by name."""
    return {fault.name: DeclaredFault(request=_request(fault), duration_s=fault.duration_s) for fault in faults}


def check_fault(fault: FaultTopology, location: Location, nodes: Sequence[str]) -> Iterator[Finding]:
    """What is wrong with one fault of a topology with these nodes."""
    if len(fault.blocks) != 1:
        known = ", ".join(kind.block for kind in KINDS.values())
        yield Finding(location, f"needs exactly one of the blocks {known} (it has {len(fault.blocks) or 'none'})")
        return
    block = (*location, *fault.blocks)
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
    made(_request(fault), nodes, number=1, created_at=_SOME_TIME)


def _request(fault: FaultTopology) -> FaultRequest:
    (block,) = fault.blocks.values()
    kind = next(kind for kind in KINDS.values() if kind.block in fault.blocks)
    request: FaultRequest = kind.declared(block)
    return request


def _place_of(node: str, fault: FaultTopology, block: Location) -> Location:
    """The location of an unknown node's name, or of the whole block."""
    (named,) = (block.model_dump() for block in fault.blocks.values())
    return (*block, *next(_places(node, named), ()))


def _places(node: str, value: object) -> Iterator[Location]:
    if value == node:
        yield ()
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, child in entries:
        if key == node:
            yield (key,)
        yield from ((key, *place) for place in _places(node, child))
