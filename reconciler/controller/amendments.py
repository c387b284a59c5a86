"""Changes that the controller itself makes to a record: faults expire, spare snapshots go, nodes shut down or boot."""

import asyncio
from datetime import UTC, datetime

import structlog

from reconciler.controller.spare_snapshots import with_kept, without_spare
from reconciler.desired.boot_files import with_files_as_booted
from reconciler.desired.ended_nodes import with_ended_off
from reconciler.errors import Conflict
from reconciler.faults.combine import wanted_at
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Plan, Start
from reconciler.model.record import ClusterRecord
from reconciler.store.protocol import Store

log = structlog.get_logger(__name__)

CONTROLLER = "controller"
"""Who made these changes, as the history shows it."""


class Overtaken(Exception):
    """Another client changed or deleted the record meanwhile."""


async def expire_faults(store: Store, record: ClusterRecord) -> ClusterRecord:
    """The record without expired faults; the history shows the change."""
    wanted = {fault.handle_id: fault for fault in wanted_at(record.faults.values(), datetime.now(UTC))}
    if len(wanted) == len(record.faults):
        return record
    log.info("faults_expired", cluster=record.cluster_name, handles=sorted(record.faults.keys() - wanted.keys()))
    return await _put(store, record, record.model_copy(update={"faults": wanted}))


async def with_ended_nodes(store: Store, record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record in which nodes that shut down, and stay off by their topology, are desired off."""
    after = with_ended_off(record, observed)
    if after is record:
        return record
    left = sorted(name for name, intent in after.nodes.items() if intent != record.nodes[name])
    log.info("nodes_left_off", cluster=record.cluster_name, nodes=left)
    return await _put(store, record, after)


async def with_snapshots_of_forks(store: Store, record: ClusterRecord, observed: ClusterDocument) -> ClusterRecord:
    """The record with snapshots that only forks want, and without those that were to go with forks which are gone."""
    kept = with_kept(record, observed)
    if kept is not record:
        log.info(
            "snapshots_kept", cluster=record.cluster_name, snapshots=sorted(kept.snapshots.keys() - record.snapshots)
        )
        return await _put(store, record, kept)
    found = await without_spare(store, record, observed)
    if found is None:
        return record
    after, lost = found
    return await _put(store, record, after, lost)


async def with_booted_files(store: Store, record: ClusterRecord, todo: Plan) -> ClusterRecord:
    """The record in which nodes about to boot have the kernel and initrd that they will boot with.

    These may have been rebuilt under the same names since the record was written; the next apply then finds nothing to
    do.
    """
    booting = [action.node for action in todo.actions if isinstance(action, Start)]
    if not booting:
        return record
    after = await asyncio.to_thread(with_files_as_booted, record, booting)
    if after is record:
        return record
    log.info("boot_files_taken_up", cluster=record.cluster_name, nodes=booting)
    return await _put(store, record, after)


async def _put(
    store: Store, before: ClusterRecord, after: ClusterRecord, lost: frozenset[str] = frozenset()
) -> ClusterRecord:
    """Write the record, which no request has changed, so that approvals stay valid. Raises `Overtaken`."""
    try:
        return await store.put(
            after, expected_generation=before.generation, actor=CONTROLLER, consent=frozenset(before.consent) | lost
        )
    except Conflict:
        raise Overtaken from None
