"""When a disk grows in place, keeping its contents. Pure."""

from pathlib import Path

from reconciler.error_codes import ErrorCode
from reconciler.model.document import ClusterDocument, Layer, Power, PowerState
from reconciler.model.names import ROOT_DISK
from reconciler.model.plan import Disruption, GrowLayer
from reconciler.model.status import Obstacle
from reconciler.plan.document_queries import may_be_open

_GIB = 1024**3
_CAN_BE_GROWN = frozenset({PowerState.RUNNING, PowerState.OFF, PowerState.STOPPING})
"""A halted machine may have released its disks for a save or a restore; QEMU aborts if it writes to them then."""


def growth(path: str, have: Layer, want: Layer, observed: ClusterDocument) -> GrowLayer | Obstacle | None:
    """The action that grows the disk to its desired size, or what prevents it; None if it is large enough."""
    if want.size_bytes <= have.size_bytes or (have.node, have.disk) != (want.node, want.disk):
        return None
    if have.format != "qcow2":  # another program writes to it
        return None
    power = observed.power.get(have.node)
    is_open = may_be_open(observed, have.node, path)
    if is_open and not (isinstance(power, Power) and power.state in _CAN_BE_GROWN):
        return Obstacle(
            code=ErrorCode.CLUSTER_NOT_RUNNING,
            node=have.node,
            message=f"disk {have.disk} can grow only while the node runs or is off, and the node is halted: "
            "resume or stop it",
        )
    return GrowLayer(
        node=have.node,
        target=have.disk,
        path=Path(path),
        size_bytes=want.size_bytes,
        reason=_in_words(have, want, is_open),
        disruption=Disruption.LIVE if is_open else Disruption.NONE,
    )


def _in_words(have: Layer, want: Layer, is_open: bool) -> str:
    later = "; the root file system grows at the next boot" if have.disk == ROOT_DISK and is_open else ""
    return f"{_in_gib(have.size_bytes)} -> {_in_gib(want.size_bytes)}, its contents are kept{later}"


def _in_gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.4g} GiB"
