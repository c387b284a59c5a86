"""What forks stand on, in the desired state of a fork and of the cluster that it was made from. Pure."""

from reconciler.desired.chains import needed_layers
from reconciler.model.document import ClusterDocument, Layer, Snapshot, Unknown, forks_on
from reconciler.model.record import ClusterRecord


def lent_snapshot(record: ClusterRecord, observed: ClusterDocument) -> dict[str, Snapshot | Unknown]:
    """The snapshot that a fork stands on, as long as there is one; held, whatever the record says of its origin."""
    name = record.forked_from.snapshot if record.forked_from else ""
    found = observed.snapshots.get(name)
    if isinstance(found, Snapshot) and found.held is not None:
        return {name: Snapshot(request=found.request, include_memory=found.include_memory, held=True)}
    return {} if found is None else {name: found}


def kept_for_forks(record: ClusterRecord, observed: ClusterDocument) -> dict[str, Snapshot | Unknown]:
    """The snapshots that nobody wants but the forks that stand on them: they go with the last one."""
    return {
        name: of
        for name, of in observed.snapshots.items()
        if name not in record.snapshots and forks_on(observed, name) and not _is_lent(of)
    }


def held_by_forks(observed: ClusterDocument) -> dict[str, Layer]:
    """The layers that stay of a cluster that is removed while forks stand on it, by what these say themselves."""
    return needed_layers((), observed.model_copy(update={"snapshots": {}}))


def _is_lent(found: Snapshot | Unknown) -> bool:
    return isinstance(found, Snapshot) and found.held is not None
