"""The operations of a soak, as clients of the service perform them, with their answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.model.choices import StopMode
from reconciler.model.faults import Groups, ImpairRequest, PartitionRequest
from reconciler.model.links import Impairment
from reconciler.records.approval import Approval
from tests.integration.bed import Bed, Session
from tests.soak.script import (
    Apply,
    Crash,
    Create,
    Delete,
    Heal,
    Impair,
    Operation,
    Partition,
    Revert,
    Start,
    Stop,
)

CLUSTER = "soak"

_ANYTHING = Approval(restart=True, data_loss=True)

_NO_ANSWER_FOR_A_CLIENT = frozenset(
    {ErrorCode.INTERNAL_ERROR, ErrorCode.CONFIGURATION_INVALID, ErrorCode.TOPOLOGY_INVALID, ErrorCode.SNAPSHOT_LOST}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an operation was answered: with an error, or as done."""

    operation: Operation
    error: ClusterError | None = None

    def __str__(self) -> str:
        return f"{self.operation!r}: {f'{self.error.code}: {self.error}' if self.error else 'done'}"


async def ask(bed: Bed, session: Session, operation: Operation) -> Answer:
    """Carry an operation out. A refusal is an answer; an error that no client should ever see is raised."""
    try:
        await _carry_out(bed, session, operation)
    except ClusterError as error:
        if error.code in _NO_ANSWER_FOR_A_CLIENT:
            raise
        return Answer(operation, error)
    return Answer(operation)


async def _carry_out(bed: Bed, session: Session, operation: Operation) -> None:
    match operation:
        case Start() | Stop() | Crash() | Apply():
            await _on_cluster(bed, session, operation)
        case Create() | Revert() | Delete():
            await _on_snapshots(session, operation)
        case Partition() | Impair() | Heal():
            await _on_faults(session, operation)
        case _:
            assert_never(operation)


async def _on_cluster(bed: Bed, session: Session, operation: Start | Stop | Crash | Apply) -> None:
    match operation:
        case Start():
            await session.clusters.start(CLUSTER, wait_for_ssh=False)
        case Stop():
            await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
        case Crash():
            await session.clusters.crash(CLUSTER, operation.node, restart_after=operation.restart, wait_for_ssh=False)
        case Apply():
            path = write_topology(bed, operation)
            await session.clusters.apply(path, start=False, approval=_ANYTHING)


async def _on_snapshots(session: Session, operation: Create | Revert | Delete) -> None:
    match operation:
        case Create():
            await session.snapshots.create(CLUSTER, operation.name, include_memory=operation.memory)
        case Revert():
            await session.snapshots.revert(CLUSTER, operation.name, restart_after=operation.restart, wait=False)
        case Delete():
            await session.snapshots.delete(CLUSTER, operation.name)


async def _on_faults(session: Session, operation: Partition | Impair | Heal) -> None:
    match operation:
        case Partition():
            groups = Groups(groups=((operation.one,), (operation.other,)))
            await session.faults.inject(CLUSTER, PartitionRequest(shape=groups))
        case Impair():
            slowed = Impairment(rate_kbit=operation.rate_kbit)
            await session.faults.inject(CLUSTER, ImpairRequest(source=operation.source, impairment=slowed))
        case Heal(every=True):
            await session.faults.heal_all(CLUSTER)
        case Heal():
            for fault in (await session.faults.listing(CLUSTER))[:1]:
                await session.faults.heal(CLUSTER, fault.handle_id)


def write_topology(bed: Bed, wanted: Apply) -> Path:
    """The topology's file, one for each of the few that there are, so that clients do not write over each other's."""
    written = bed.write_topology(CLUSTER, nodes=wanted.nodes, edit=_small(wanted.memory_mib))
    return written.rename(bed.directory / f"{CLUSTER}-{wanted.nodes}-{wanted.memory_mib}.yaml")


def _small(memory_mib: int) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        for node in document["nodes"]:
            node["memory_mb"] = 64
        document["nodes"][1]["memory_mb"] = memory_mib

    return edit
