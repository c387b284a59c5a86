"""What a revert loses: the current state of every node, and the snapshot that holds its latest kept state."""

from datetime import datetime

from pydantic import Field

from reconciler.files.space import allocated_bytes
from reconciler.model.base import Frozen
from reconciler.model.document import ClusterDocument, Domain, PowerState, Unknown
from reconciler.usecases.snapshot_tree import SnapshotTree


class NodeLoss(Frozen):
    """What one node loses; null where it cannot be observed."""

    memory: bool | None = Field(description="It has a running state that is lost: processes, and data not yet on disk.")
    written_bytes: int | None = Field(description="Size on disk of its current layers, which are lost.")
    kept_by: str | None = Field(
        description="The snapshot that holds its state up to `kept_until`; null if there is none."
    )
    kept_until: datetime | None


class RevertLosses(Frozen):
    """What a revert to a snapshot loses."""

    cluster_name: str
    snapshot_name: str
    created_at: datetime | None = Field(description="When the snapshot to revert to was taken.")
    per_node: dict[str, NodeLoss]


def losses_of(observed: ClusterDocument, tree: SnapshotTree, snapshot: str) -> RevertLosses:
    """What a revert would lose; reads the sizes of the layers."""
    taken = {of.snapshot_name: of.created_at for of in tree.snapshots}
    return RevertLosses(
        cluster_name=tree.cluster_name,
        snapshot_name=snapshot,
        created_at=taken.get(snapshot),
        per_node={
            node: NodeLoss(
                memory=_has_memory(node, observed),
                written_bytes=_written_bytes(node, observed),
                kept_by=kept_by,
                kept_until=taken.get(kept_by) if kept_by else None,
            )
            for node, kept_by in tree.standing_on.items()
        },
    )


def _has_memory(node: str, observed: ClusterDocument) -> bool | None:
    power = observed.power.get(node)
    if isinstance(power, Unknown):
        return None
    return power is not None and power.state is not PowerState.OFF


def _written_bytes(node: str, observed: ClusterDocument) -> int | None:
    domain = observed.domains.get(node)
    if not isinstance(domain, Domain):
        return None
    return sum(allocated_bytes(disk.path) for disk in domain.disks.values() if not disk.read_only)
