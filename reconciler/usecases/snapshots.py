"""Snapshots of whole clusters: create, list, revert, delete."""

import asyncio
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reconciler.concurrency import together
from reconciler.controller.round_results import PlannedChange
from reconciler.desired.snapshot_losses import agreed_by_snapshot_deletion
from reconciler.errors import (
    ClusterError,
    Conflict,
    InvalidArgument,
    LibvirtUnavailable,
    RevertFailed,
    SnapshotExists,
    SnapshotFailed,
    SnapshotLost,
    SnapshotNotFound,
    meant,
)
from reconciler.health.provisioning import not_yet_provisioned, with_user_data
from reconciler.model.document import ClusterDocument, Power, PowerState, Snapshot, Unknown
from reconciler.model.fields import SnapshotName
from reconciler.model.record import ClusterRecord
from reconciler.model.results import (
    ClusterStatus,
    SnapshotDeleteResult,
    SnapshotInfo,
    SnapshotNodeDeletion,
)
from reconciler.model.snapshot import Manifest, SnapshotPower
from reconciler.progress import Progress, no_progress, said_meanwhile
from reconciler.records import record_changes
from reconciler.records.fault_changes import without_faults
from reconciler.records.stored_records import change_record, existing, recorded
from reconciler.runtime import Runtime
from reconciler.usecases.convergence import step_clocks, wait_for_ssh
from reconciler.usecases.forks_of_clusters import require_no_forks, require_not_held
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.revert_losses import RevertLosses, losses_of
from reconciler.usecases.snapshot_description import bytes_gone, files_on_host, snapshot_info
from reconciler.usecases.snapshot_tree import snapshot_tree

_SNAPSHOT_NAME: TypeAdapter[str] = TypeAdapter(SnapshotName)

SNAPSHOT_TIMEOUT_S = 300.0
"""How long writing the memory of many nodes to a slow disk may take."""

_STILL_REQUESTED = (
    "the revert stays requested: repeat `snapshot_revert` once the cause is gone, unless the service has finished it "
    "by then"
)


class Snapshots:
    """Snapshots. `name` may be a logical name of the topology, such as `baseline`."""

    def __init__(self, runtime: Runtime, *, actor: str, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._progress = progress
        self._change = partial(change_record, runtime.store, actor=actor)
        self._inspection = Inspection(runtime)

    async def create(
        self,
        cluster: str,
        name: str,
        *,
        include_memory: bool = False,
        quiesce: bool = False,
        for_forks: bool = False,
    ) -> SnapshotInfo:
        """Take one consistent snapshot of all disks, and with `include_memory` of the memory of all running nodes.

        Raises `SnapshotExists`, and `SnapshotFailed` if it could not be taken; the request is then withdrawn, so that
        it is not taken later. The same happens when cancelled, unless the snapshot exists by then: once the nodes are
        paused, it is completed.
        """
        record = await existing(self._runtime.store, cluster)
        asked, name = name, resolved_name(record, name)
        _require_no_shared_disk(record)
        observed = await self._seen(record)
        if name in observed.snapshots:
            raise _snapshot_exists(cluster, name)
        warnings = (*_renamed(asked, name), *await self._unprovisioned(record, observed))
        for warning in warnings:
            self._progress.report(f"warning: {warning}")

        def edit(before: ClusterRecord) -> ClusterRecord:
            if name in before.snapshots:
                raise _snapshot_exists(cluster, name)
            return record_changes.with_snapshot(
                before, name, include_memory=include_memory, quiesce=quiesce, for_forks=for_forks
            )

        record = await self._change(cluster, edit)
        try:
            # Nodes with `user_data` were asked since the look above, which may take seconds: the round looks itself.
            async with said_meanwhile(lambda: f"taking snapshot {name}", self._progress):
                await self._runtime.controller.converge(record, timeout_s=SNAPSHOT_TIMEOUT_S, tell=self._progress.event)
        except asyncio.CancelledError:
            await self._withdraw_unless_taken(record, name)
            raise
        except ClusterError as error:
            await self._withdraw(record, name)
            raise SnapshotFailed(f"the snapshot {name!r} was not taken: {error}", node=error.node) from error
        return (await self._info(record, name)).model_copy(update={"warnings": warnings})

    async def listing(self, cluster: str) -> list[SnapshotInfo]:
        """Every snapshot, oldest first; lost ones, whose time is unknown, come last.

        For a destroyed cluster, those kept with its disks. Raises `ClusterNotFound` if there are none.
        """
        record = await recorded(self._runtime.store, cluster)
        held = await self._runtime.looks.parts.held_snapshots(record)
        there = {of.manifest.snapshot_name for of in held}
        said = await self._runtime.store.status(cluster)
        made = said.snapshots_made if said else frozenset()
        lost = sorted(name for name in record.snapshots.keys() - there if record.snapshots[name].request in made)
        infos = [await asyncio.to_thread(snapshot_info, of, tuple(record.spec.nodes)) for of in held]
        gone = [
            SnapshotInfo(snapshot_name=name, cluster_name=cluster, created_at=None, per_node={}, lost=True)
            for name in lost
        ]
        parents = await self._parents(record, [of.manifest for of in held])
        placed = [info.model_copy(update={"parent": parents.get(info.snapshot_name)}) for info in infos]
        return [*placed, *gone] or await self._none_of(cluster)

    async def _parents(self, record: ClusterRecord, manifests: list[Manifest]) -> dict[str, str | None]:
        """What each snapshot is based on; nothing while libvirt is away."""
        try:
            observed = await self._seen(record) if manifests else None
        except LibvirtUnavailable:
            return {}
        tree = snapshot_tree(record, observed, manifests).snapshots if observed else ()
        return {place.snapshot_name: place.parent for place in tree}

    async def _none_of(self, cluster: str) -> list[SnapshotInfo]:
        await existing(self._runtime.store, cluster)
        return []

    async def info(self, cluster: str, name: str) -> SnapshotInfo:
        """One snapshot, which may be lost. Raises `SnapshotNotFound`."""
        record = await recorded(self._runtime.store, cluster)
        name = resolved_name(record, name)
        found = (info for info in await self.listing(cluster) if info.snapshot_name == name)
        if (info := next(found, None)) is None:
            raise snapshot_not_found(record, name)
        return info

    async def revert_losses(self, cluster: str, name: str) -> RevertLosses:
        """What a revert would lose now. Changes nothing; raises as `revert` does if the nodes do not match."""
        record = await existing(self._runtime.store, cluster)
        name = resolved_name(record, name)
        looks = self._runtime.looks
        observed, manifests, said = await together(
            looks.observe(record), looks.parts.manifests(record), looks.parts.bases_elsewhere(record)
        )
        seen = await looks.parts.with_others(record, observed)
        _require_same_nodes(record, name, await self._found(record, name, seen))
        return await asyncio.to_thread(losses_of, observed, snapshot_tree(record, observed, manifests, (), said), name)

    async def revert(
        self,
        cluster: str,
        name: str,
        *,
        restart_after: bool = True,
        wait: bool = True,
        ssh_timeout_s: float = 120.0,
        heal: bool = False,
    ) -> ClusterStatus:
        """Revert all nodes to the snapshot, or none; with `heal`, the network faults end before the nodes run again.

        Raises `SnapshotNotFound`, `SnapshotLost`, and `RevertFailed` if the cluster has other nodes now, a file of the
        snapshot is damaged, or its memory no longer fits the nodes: nothing was recorded then, and no node was stopped.
        Neither if there is no room for the new layers. Any later failure leaves the revert requested, and says so.
        """
        name = resolved_name(await existing(self._runtime.store, cluster), name)
        found: list[Snapshot] = []
        asked: list[ClusterRecord] = []

        async def decide() -> PlannedChange:
            before = await existing(self._runtime.store, cluster)
            observed = await self._runtime.looks.observe(before)
            found[:] = [await self._revertible(before, name, observed, restart_after)]
            asked[:] = [await self._ask_for_revert(before, name, found[0], restart_after, heal)]
            return PlannedChange(asked[0], await self._runtime.looks.compare(asked[0], observed))

        try:
            async with said_meanwhile(lambda: f"reverting to {name}", self._progress):
                done = await self._runtime.controller.carry_out(
                    cluster, decide, timeout_s=SNAPSHOT_TIMEOUT_S, tell=self._progress.event
                )
        except ClusterError as error:
            if asked and await self._is_wanted(asked[0]):
                error.hint = "; ".join(filter(None, (error.hint, _STILL_REQUESTED)))
            raise
        if not (restart_after and wait):
            return await self._inspection.status(cluster, done.look)
        (snapshot,) = found
        running = [node for node, part in snapshot.nodes.items() if part.power is SnapshotPower.RUNNING]
        await wait_for_ssh(self._runtime, done.record, running, ssh_timeout_s, self._progress)
        await step_clocks(self._runtime, done.record, [node for node in running if snapshot.nodes[node].memory])
        return await self._inspection.status(cluster)

    async def delete(self, cluster: str, name: str) -> SnapshotDeleteResult:
        """Delete a snapshot on every node. Layers that other snapshots or the nodes need are kept.

        Raises `Conflict` naming the forks that stand on it.
        """
        name = resolved_name(await existing(self._runtime.store, cluster), name)
        gone: list[Snapshot | Unknown | None] = []
        files: dict[Path, int] = {}

        async def decide() -> PlannedChange:
            before = await existing(self._runtime.store, cluster)
            observed = await self._runtime.looks.observe(before)
            snapshot = (await self._runtime.looks.parts.with_others(before, observed)).snapshots.get(name)
            if snapshot is None and name not in before.snapshots:
                raise snapshot_not_found(before, name)
            _require_own(snapshot, name)
            await require_no_forks(self._runtime.store, cluster, name)
            require_not_held(name, observed)
            gone[:] = [snapshot]
            files.update(
                await asyncio.to_thread(files_on_host, name, await self._runtime.looks.parts.held_snapshots(before))
            )
            after = await self._change(
                cluster,
                partial(record_changes.without_snapshot, name=name),
                consent=partial(agreed_by_snapshot_deletion, name=name, snapshot=snapshot),
            )
            return PlannedChange(after, await self._runtime.looks.compare(after, observed))

        done = await self._runtime.controller.carry_out(
            cluster, decide, timeout_s=SNAPSHOT_TIMEOUT_S, tell=self._progress.event
        )
        if any(manifest.snapshot_name == name for manifest in await self._runtime.looks.parts.manifests(done.record)):
            require_not_held(name, await self._runtime.looks.observe(done.record))  # a fork came to hold it meanwhile
        (snapshot,) = gone
        nodes = snapshot.nodes if isinstance(snapshot, Snapshot) else done.record.spec.nodes
        return SnapshotDeleteResult(
            snapshot_name=name,
            cluster_name=cluster,
            per_node={node: SnapshotNodeDeletion(node_name=node, deleted=True) for node in nodes},
            freed_bytes=await asyncio.to_thread(bytes_gone, files),
        )

    async def _unprovisioned(self, record: ClusterRecord, observed: ClusterDocument) -> tuple[str, ...]:
        """Warnings for nodes that are snapshotted before cloud-init is done; only nodes with `user_data` are asked."""
        up = [name for name, of in observed.power.items() if isinstance(of, Power) and of.state is PowerState.RUNNING]
        chosen = with_user_data(record, [name for name in record.spec.nodes if name in up])
        found = await not_yet_provisioned(self._runtime, record, chosen)
        return tuple(
            f"{node} may not be provisioned yet, and the snapshot includes that state: {why}"
            for node, why in found.items()
        )

    async def _withdraw_unless_taken(self, record: ClusterRecord, name: str) -> None:
        if all(manifest.snapshot_name != name for manifest in await self._runtime.looks.parts.manifests(record)):
            await self._withdraw(record, name)

    async def _withdraw(self, record: ClusterRecord, name: str) -> None:
        """Withdraw the snapshot, but not one of the same name that another client has requested since."""
        ours = record.snapshots[name]

        def edit(before: ClusterRecord) -> ClusterRecord:
            return record_changes.without_snapshot(before, name) if before.snapshots.get(name) == ours else before

        consent = partial(agreed_by_snapshot_deletion, name=name)
        await self._change(record.cluster_name, edit, consent=consent)

    async def _revertible(
        self, record: ClusterRecord, name: str, observed: ClusterDocument, restart_after: bool
    ) -> Snapshot:
        """The snapshot, which the cluster can be reverted to as it is now; raises as `revert` does."""
        snapshot = await self._found(record, name, await self._runtime.looks.parts.with_others(record, observed))
        _require_same_nodes(record, name, snapshot)
        wanted = record_changes.reverted(record, name, snapshot, restart_after=restart_after)
        if problems := await self._runtime.looks.revert_obstacles(wanted, name, snapshot, observed):
            raise RevertFailed(
                f"cannot revert to snapshot {name!r}, and nothing was changed: {'; '.join(problems)}",
                hint="run `vmcluster snapshot verify`; apply the topology of that time, or revert to another snapshot",
            )
        return snapshot

    async def _is_wanted(self, record: ClusterRecord) -> bool:
        """Whether the nodes are still to be as in this record."""
        now = await self._runtime.store.get(record.cluster_name)
        return now is not None and now.deletion is None and now.nodes == record.nodes

    async def _ask_for_revert(
        self, record: ClusterRecord, name: str, snapshot: Snapshot, restart_after: bool, heal: bool
    ) -> ClusterRecord:
        asked = record.snapshots.get(name)

        def edit(before: ClusterRecord) -> ClusterRecord:
            _require_same_nodes(before, name, snapshot)
            if asked is not None and before.snapshots.get(name) != asked:
                raise snapshot_not_found(before, name)  # another client has deleted it meanwhile
            kept = without_faults(before, before.faults) if heal else before
            return record_changes.reverted(kept, name, snapshot, restart_after=restart_after)

        consent = partial(record_changes.agreed_by_revert, snapshot=snapshot)
        return await self._change(record.cluster_name, edit, consent=consent)

    async def _found(self, record: ClusterRecord, name: str, observed: ClusterDocument) -> Snapshot:
        found = observed.snapshots.get(name)
        if isinstance(found, Snapshot) and not found.half_made:
            return found
        said = await self._runtime.store.status(record.cluster_name)
        wanted = record.snapshots.get(name)
        if said is not None and wanted is not None and wanted.request in said.snapshots_made:
            raise SnapshotLost(
                f"the snapshot {name!r} is lost: its files are gone",
                hint="revert to another one; delete this one",
            )
        raise snapshot_not_found(record, name)

    async def _info(self, record: ClusterRecord, name: str) -> SnapshotInfo:
        held = await self._runtime.looks.parts.held_snapshots(record)
        found = next((of for of in held if of.manifest.snapshot_name == name), None)
        if found is None:
            raise SnapshotFailed(f"the snapshot {name!r} is missing after it was taken")
        return await asyncio.to_thread(snapshot_info, found, tuple(record.spec.nodes))

    async def _seen(self, record: ClusterRecord) -> ClusterDocument:
        """The whole cluster, wherever its nodes are."""
        return await self._runtime.looks.parts.with_others(record, await self._runtime.looks.observe(record))


def resolved_name(record: ClusterRecord, name: str) -> str:
    """The name of the snapshot that a name refers to. Raises `InvalidArgument` for an invalid name."""
    resolved = record.spec.snapshot_names.get(name, name)
    try:
        return _SNAPSHOT_NAME.validate_python(resolved)
    except ValidationError:
        raise InvalidArgument(
            f"{resolved!r} is not a valid snapshot name",
            hint="use letters, digits, `.`, `_` and `-`, at most 100 of them",
        ) from None


def _require_own(snapshot: Snapshot | Unknown | None, name: str) -> None:
    if isinstance(snapshot, Snapshot) and snapshot.held is not None:
        raise Conflict(
            f"the cluster is a fork, and stands on snapshot {name!r} of another cluster",
            hint="destroy the fork with its disks to give it up",
        )


def _snapshot_exists(cluster: str, name: str) -> SnapshotExists:
    return SnapshotExists(f"cluster {cluster!r} already has a snapshot {name!r}", hint="delete it, or use another name")


def _require_same_nodes(record: ClusterRecord, name: str, snapshot: Snapshot) -> None:
    now, then = set(record.spec.nodes), set(snapshot.nodes)
    if now != then:
        changes = (("added", now - then), ("removed", then - now))
        told = ", ".join(f"{what} since then: {', '.join(sorted(nodes))}" for what, nodes in changes if nodes)
        raise RevertFailed(
            f"snapshot {name!r} has other nodes than the cluster ({told})",
            hint="apply a topology with the nodes of the snapshot first, or revert to another one",
        )


def snapshot_not_found(record: ClusterRecord, name: str) -> SnapshotNotFound:
    """The error for a name without a snapshot, or for one that is still to be taken."""
    if name in record.snapshots:
        message = f"snapshot {name!r} of cluster {record.cluster_name!r} is requested, and not taken yet"
        return SnapshotNotFound(message, hint="see `cluster_status` and `cluster_events`")
    known = [*record.snapshots, *record.spec.snapshot_names]
    hint = meant(name, known, f"it has {', '.join(record.snapshots) or 'none'}")
    return SnapshotNotFound(f"cluster {record.cluster_name!r} has no snapshot {name!r}", hint=hint)


def _renamed(asked: str, name: str) -> tuple[str, ...]:
    return () if asked == name else (f"{asked!r} is the topology's name for {name!r}, under which it is listed",)


def _require_no_shared_disk(record: ClusterRecord) -> None:
    for name, node in record.spec.nodes.items():
        for target, disk in node.extra_disks.items():
            if disk.shared:
                raise InvalidArgument(
                    f"a snapshot cannot include {disk.path}, disk {target}, because other nodes write to it too",
                    node=name,
                    hint="remove it from the topology first, or copy the file while the nodes are off",
                )
