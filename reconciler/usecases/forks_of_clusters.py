"""Which forks stand on a cluster's snapshots, as the records of a store say, and as the host does."""

from reconciler.errors import Conflict, OperationFailed
from reconciler.model.document import ClusterDocument, LentFiles, Unknown
from reconciler.model.record import ClusterRecord
from reconciler.plan.snapshot_planner import in_use_by
from reconciler.records.stored_records import readable_records
from reconciler.store.protocol import Store

_MOST_SHOWN = 3


async def forks_of(store: Store, cluster: str, snapshot: str | None = None) -> list[ClusterRecord]:
    """The forks that stand on a snapshot of a cluster, or on any; those too of which only the disks are kept."""
    records = await readable_records(store)
    of = [(record, record.forked_from) for record in records if record.forked_from is not None]
    return [record for record, base in of if base.cluster == cluster and snapshot in {None, base.snapshot}]


async def require_no_forks(store: Store, cluster: str, snapshot: str | None = None) -> None:
    """Raise `Conflict` naming the forks that stand on a snapshot of a cluster, or on any."""
    forks = [record.cluster_name for record in await forks_of(store, cluster, snapshot)]
    if not forks:
        return
    what = f"cluster {cluster!r} cannot lose its disks" if snapshot is None else f"snapshot {snapshot!r} is in use"
    calls = [f'`cluster_destroy(cluster_name="{name}", remove_overlays=true)`' for name in forks[:_MOST_SHOWN]]
    raise Conflict(
        f"{what}: forks stand on {'its snapshots' if snapshot is None else 'it'}: {', '.join(forks)}",
        hint=f"destroy them with their disks first: {', '.join(calls)}",
    )


def require_not_held(snapshot: str, observed: ClusterDocument) -> None:
    """Raise `Conflict` naming the forks that hold a snapshot on the host, also those without a readable record.

    Raises `OperationFailed` if it cannot be read what a fork stands on.
    """
    for of in observed.forks.values():
        if isinstance(of, Unknown):
            raise OperationFailed(f"snapshot {snapshot!r} stays: {of.unknown}")
    forks = [name for name, of in observed.forks.items() if isinstance(of, LentFiles) and of.snapshot == snapshot]
    if forks:
        raise Conflict(f"snapshot {snapshot!r} stays, as {in_use_by(forks)}")
