"""Clusters that are on the host while their record is lost, behind it, or another store's."""

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.errors import ClusterNotFound, Conflict, RecordUnreadable
from reconciler.model.document import Snapshot
from reconciler.model.record import ClusterRecord, ClusterSpec
from reconciler.model.status import obstacles_in_words
from reconciler.records import adoption, fault_changes, record_changes
from reconciler.records.preview import Preview
from reconciler.records.proposal import preview_change
from reconciler.records.recovery import bare_record, with_found_files
from reconciler.runtime import Runtime


async def bind_copied_files(runtime: Runtime, cluster: str, spec: ClusterSpec, record: ClusterRecord | None) -> bool:
    """Whether some of the cluster's files were copies, as after restoring a backup, and have now been adopted."""
    files = record.former_files if record is not None else ()
    whole = record_changes.with_spec(None, cluster, spec).model_copy(update={"former_files": files})
    return await runtime.controller.bind_copies(whole)


async def fork_to_adopt(runtime: Runtime, cluster: str) -> ClusterRecord | None:
    """The record of a fork, which has no topology; None for a cluster that is none.

    Raises `Conflict` for a fork whose record is lost or damaged: nothing else says how its nodes are defined.
    """
    try:
        record = await runtime.store.get(cluster)
    except RecordUnreadable:
        record = None
    if record is not None:
        return record if record.forked_from is not None else None
    if await _is_fork(runtime, cluster):
        raise Conflict(
            f"cluster {cluster!r} is a fork, and its record, which alone says what its nodes are, cannot be read",
            hint=f"`vmcluster destroy --force --remove-overlays {cluster}` deletes what there is of it",
        )
    return None


async def _is_fork(runtime: Runtime, cluster: str) -> bool:
    try:
        observed = await runtime.looks.observe(await bare_record(runtime, cluster))
    except ClusterNotFound:
        return False
    return any(isinstance(of, Snapshot) and of.held for of in observed.snapshots.values())


async def preview_as_found(runtime: Runtime, cluster: str, spec: ClusterSpec, behind: ClusterRecord | None) -> Preview:
    """A new record for a cluster that exists on the host, replacing one that is `behind` it.

    That of a fork stays as it is, as the host does not say what the fork was made from.
    """
    if behind is not None and behind.forked_from is not None:
        after = behind
        observed = await runtime.looks.observe(after)
    else:
        after = await with_found_files(runtime, record_changes.with_spec(None, cluster, spec))
        observed = await runtime.looks.observe(after)
        after = after if behind is None else adoption.counting_on(after, behind, observed)
    after = record_changes.as_found(adoption.taking_over(after, observed), observed)
    after = fault_changes.with_declared_faults(after, now=datetime.now(UTC))
    return replace(await preview_change(runtime, None, after), before=behind)


async def to_be_removed(runtime: Runtime, record: ClusterRecord, *, take_over: bool) -> ClusterRecord:
    """A record for destroying a cluster by its marks, which includes everything that may be removed.

    Raises `Conflict` if another store has made some of it, unless `take_over` is set.
    """
    state_dir = runtime.settings.state_dir.absolute()
    found = await runtime.looks.compare(record)
    if not found.plan.foreign:
        return record
    bare = adoption.by_marks_alone(record)
    after = adoption.taking_over(bare, found.observed, of=None if take_over else state_dir)
    if (still := await runtime.looks.compare(after, found.observed)).plan.foreign:
        told = obstacles_in_words(still.plan.obstacles)
        raise Conflict(told, hint="pass `take_over` to destroy it anyway")
    return after
