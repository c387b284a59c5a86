"""Snapshots that were taken to fork from, and that no fork stands on any longer.

They go with their last fork. The command that destroys it deletes them; where that did not come to it, a round of their
own cluster does.
"""

import asyncio
from collections.abc import Set
from datetime import UTC, datetime, timedelta

import structlog

from reconciler.desired.snapshot_losses import agreed_by_snapshot_deletion
from reconciler.errors import RecordUnreadable
from reconciler.host.disks.manifests import read_manifests
from reconciler.model.document import ClusterDocument, LentFiles, Snapshot, forks_on
from reconciler.model.record import ClusterRecord, SnapshotIntent
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

Amended = tuple[ClusterRecord, frozenset[str]]
"""A record, and the addresses of what it agrees to lose."""

BEING_FORKED = timedelta(minutes=10)
"""For so long after it was taken, a fork may be about to be recorded that stands on it."""


async def spare_snapshots(store: Store, record: ClusterRecord, observed: ClusterDocument) -> Set[str]:
    """The snapshots of a cluster that went with a fork that is gone: nothing on the host or in the store needs them.

    Nothing is spare while a record cannot be read, which may be that of a fork.
    """
    unheld = frozenset() if record.deletion else _unheld(record, observed)
    old = unheld and unheld & await asyncio.to_thread(_taken_before, record, datetime.now(UTC) - BEING_FORKED)
    if not old:
        return frozenset()
    try:
        return old - await _forked(store, record.cluster_name)
    except RecordUnreadable as error:
        log.warning("spare_snapshots_kept", cluster=record.cluster_name, cause=str(error))
        return frozenset()


def with_kept(record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record with the snapshots that only forks want: they go with the last one.

    A fork has come to hold such a snapshot while its deletion was requested.
    """
    held = {of.snapshot for of in observed.forks.values() if isinstance(of, LentFiles)} - record.snapshots.keys()
    there = {name: of for name, of in observed.snapshots.items() if name in held and isinstance(of, Snapshot)}
    kept = {
        name: SnapshotIntent(request=of.request, include_memory=of.include_memory, for_forks=True)
        for name, of in there.items()
        if of.held is None
    }
    if not kept or record.deletion is not None:
        return record
    return record.model_copy(update={"snapshots": {**record.snapshots, **kept}})


async def without_spare(store: Store, record: ClusterRecord, observed: ClusterDocument) -> Amended | None:
    """The record without such snapshots, and what may be lost with them; None if there are none."""
    spare = await spare_snapshots(store, record, observed)
    if not spare:
        return None
    lost = [agreed_by_snapshot_deletion(record, name, observed.snapshots[name]) for name in spare]
    kept = {name: wanted for name, wanted in record.snapshots.items() if name not in spare}
    log.info("spare_snapshots_dropped", cluster=record.cluster_name, snapshots=sorted(spare))
    return record.model_copy(update={"snapshots": kept}), frozenset().union(*lost)


def _unheld(record: ClusterRecord, observed: ClusterDocument) -> frozenset[str]:
    for_forks = (name for name, wanted in record.snapshots.items() if wanted.for_forks)
    taken = (name for name in for_forks if isinstance(observed.snapshots.get(name), Snapshot))
    return frozenset(name for name in taken if not forks_on(observed, name))


def _taken_before(record: ClusterRecord, then: datetime) -> frozenset[str]:
    manifests = read_manifests(record.spec.overlay_dir, record.cluster_name)
    return frozenset(of.snapshot_name for of in manifests if of.created_at < then)


async def _forked(store: Store, cluster: str) -> frozenset[str]:
    """The snapshots of a cluster that the records of forks name. Raises `RecordUnreadable`."""
    found = [await store.get(name) for name in await store.names()]
    bases = [of.forked_from for of in found if of is not None and of.forked_from is not None]
    return frozenset(base.snapshot for base in bases if base.cluster == cluster)
