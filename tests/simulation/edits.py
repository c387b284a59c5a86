"""What users ask for in a storm: edits of a record, which all have to be carried out."""

from collections.abc import Callable
from datetime import UTC, datetime

from reconciler.faults.requests import Sides, partition_request
from reconciler.model.choices import StopMode
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.records import record_changes as changes
from reconciler.records.fault_changes import with_fault, without_faults
from tests.simulation.worlds import NODES

Edit = Callable[[ClusterRecord], ClusterRecord]
_MOST_SNAPSHOTS = 4


def stopped(record: ClusterRecord) -> ClusterRecord:
    return changes.stopped(record, StopMode.DESTROY)


def started(record: ClusterRecord) -> ClusterRecord:
    return changes.started(record)


def cycled(record: ClusterRecord) -> ClusterRecord:
    running = frozenset(node for node, of in record.nodes.items() if of.power is WantedPower.RUNNING)
    return changes.power_cycled(record, running, StopMode.DESTROY)


def snapped(record: ClusterRecord) -> ClusterRecord:
    if len(record.snapshots) >= _MOST_SNAPSHOTS:
        return record
    name = f"snap{record.snapshot_requests}"
    return changes.with_snapshot(record, name, include_memory=False, quiesce=False)


def split(record: ClusterRecord) -> ClusterRecord:
    request = partition_request(Sides(partition_a=NODES[:1], partition_b=NODES[1:]))
    return with_fault(record, request, now=datetime.now(UTC))[0]


def healed(record: ClusterRecord) -> ClusterRecord:
    return without_faults(record, record.faults)
