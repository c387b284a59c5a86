"""What is lost with a snapshot that is deleted. Pure."""

from reconciler.model import names
from reconciler.model.document import Snapshot, Unknown
from reconciler.model.record import ClusterRecord


def agreed_by_snapshot_deletion(
    record: ClusterRecord, name: str, snapshot: Snapshot | Unknown | None = None
) -> frozenset[str]:
    """What is lost with a snapshot: its name, and its disks that the cluster no longer has."""
    parts = snapshot.nodes if isinstance(snapshot, Snapshot) else {}
    gone = {(node, disk) for node, part in parts.items() for disk in part.disks} - disks_of(record)
    return frozenset({f"snapshot/{name}", *(f"layer/{node}/{disk}" for node, disk in gone)})


def disks_of(record: ClusterRecord) -> set[tuple[str, str]]:
    """The disks that a cluster has, by node and target."""
    return {(node, disk) for node, of in record.spec.nodes.items() for disk in (names.ROOT_DISK, *of.extra_disks)}
