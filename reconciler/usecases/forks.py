"""Forks: new clusters that continue from a snapshot of another one, beside it."""

from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address
from itertools import islice

from reconciler.concurrency import together
from reconciler.controller.inline_controller import CarriedOut
from reconciler.controller.side_files import forking_lock_path
from reconciler.controller.wait import as_error
from reconciler.errors import (
    ClusterError,
    ClusterNotFound,
    Conflict,
    HostCapabilityMissing,
    InvalidArgument,
    SnapshotFailed,
)
from reconciler.files.locks import locked
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.record import ClusterRecord, ForkedFrom, WantedPower
from reconciler.model.results import ClusterStatus
from reconciler.observe.host_observation import available_memory_mb
from reconciler.progress import Progress, no_progress
from reconciler.records.fork_records import (
    addresses_for_forks,
    continues,
    fork_names,
    fork_obstacles,
    forked,
    memory_of_fork_mb,
)
from reconciler.records.preview import Preview
from reconciler.records.stored_records import existing, readable_records, require_cluster_name
from reconciler.runtime import Runtime
from reconciler.usecases.convergence import step_clocks, wait_for_ssh
from reconciler.usecases.forks_of_clusters import forks_of
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.snapshots import Snapshots, resolved_name, snapshot_not_found

FORK_TIMEOUT_S = 300.0
"""How long reading the memory of many nodes from a slow disk may take."""
_ADDRESSES = "-addresses"
"""No cluster has this name."""


class Forks:
    """Forks of clusters."""

    def __init__(self, runtime: Runtime, *, actor: str, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._actor = actor
        self._progress = progress
        self._inspection = Inspection(runtime)

    async def make(
        self,
        cluster: str,
        new: str,
        *,
        snapshot: str | None = None,
        count: int = 1,
        wait: bool = True,
        ssh_timeout_s: float = 120.0,
    ) -> list[ClusterStatus]:
        """Make `count` clusters that continue from a snapshot of `cluster`, by default from one that is taken for it.

        Forks that exist already are answered as they are. Raises, before anything is changed: `InvalidArgument` for
        what cannot be forked, `Conflict` for a name that is taken, `SnapshotNotFound`, and `HostCapabilityMissing` if
        there is not enough memory.
        """
        origin, forks = await existing(self._runtime.store, cluster), fork_names(new, count)
        if None in [await self._found(origin, name, snapshot) for name in forks]:
            async with self._alone(cluster):
                await self._record(cluster, snapshot, forks)
        await together(*map(self._converge, forks))
        return [await self._usable(name, wait=wait, timeout_s=ssh_timeout_s) for name in forks]

    async def plan(self, cluster: str, new: str, snapshot: str) -> Preview:
        """The plan of `make` for one fork that does not exist yet. Changes nothing; raises as `make` does."""
        origin = await existing(self._runtime.store, cluster)
        found = _found(origin, snapshot, await self._runtime.looks.observe(origin))
        await self._found(origin, new, snapshot)
        await self._require_forkable(origin, found, [new])
        of, given = await self._base(origin, *found), await self._host_addresses(origin, 1)
        record = forked(origin, new, of, found[1], given[0])
        return Preview(None, record, await self._runtime.looks.compare(record))

    async def _found(self, origin: ClusterRecord, name: str, snapshot: str | None) -> ClusterRecord | None:
        """The fork if it exists; it may be unfinished. Raises `Conflict` if something else has its name."""
        _require_new_name(name)
        record = await self._runtime.store.get(name)
        if record is None:
            return None
        of = record.forked_from
        if record.deletion is not None:
            raise Conflict(
                f"cluster {name!r} was destroyed, and its disks are kept",
                hint=f'`cluster_destroy(cluster_name="{name}", remove_overlays=true)` removes them',
            )
        if of is None or not continues(of, origin, None if snapshot is None else resolved_name(origin, snapshot)):
            what = f"is a fork of {of}" if of else "exists, and is no fork"
            raise Conflict(f"cluster {name!r} {what}", hint="choose another name")
        return record

    async def _converge(self, name: str) -> CarriedOut:
        record = await existing(self._runtime.store, name)
        return await self._runtime.controller.converge(record, timeout_s=FORK_TIMEOUT_S, tell=self._progress.event)

    def _alone(self, matter: str) -> AbstractAsyncContextManager[None]:
        """Keep others from making forks of a cluster, or, briefly, from giving addresses to any."""
        return locked(forking_lock_path(self._runtime.settings, matter))

    async def _record(self, cluster: str, asked: str | None, forks: list[str]) -> None:
        """Put the records of those forks that do not exist; another call may just have done so."""
        origin = await existing(self._runtime.store, cluster)
        if not (missing := [name for name in forks if await self._found(origin, name, asked) is None]):
            return
        observed = await self._runtime.looks.observe(origin)
        found = None if asked is None else _found(origin, asked, observed)
        await self._require_forkable(origin, found, missing)
        await self._host_addresses(origin, len(missing))
        if found is None:
            found = await self._taken_for(origin, missing[0])
            origin = await existing(self._runtime.store, cluster)
        of = await self._base(origin, *found)
        try:
            await self._put(origin, of, found[1], missing)
        except ClusterError:
            await remove_snapshot_of_last_fork(self._runtime, of, actor=self._actor, progress=self._progress)
            raise

    async def _put(self, origin: ClusterRecord, of: ForkedFrom, snapshot: Snapshot, forks: list[str]) -> None:
        """Put the records, each with an address of the host that no other fork was given meanwhile."""
        while True:
            given = await self._host_addresses(origin, len(forks))
            records = [forked(origin, name, of, snapshot, own) for name, own in zip(forks, given, strict=True)]
            await together(*map(self._require_possible, records))
            async with self._alone(_ADDRESSES):
                if await self._host_addresses(origin, len(forks)) == given:
                    for record in records:
                        await self._runtime.store.put(record, expected_generation=0, actor=self._actor)
                    return

    async def _require_forkable(
        self, origin: ClusterRecord, found: tuple[str, Snapshot] | None, forks: list[str]
    ) -> None:
        name, snapshot = found or ("", None)
        problems = list(fork_obstacles(origin, name, snapshot))
        if away := await self._runtime.looks.parts.nodes_elsewhere(origin):
            told = ", ".join(f"{node} is on {host}" for node, host in away.items())
            problems.append(f"nodes: {told}, and a fork is on one host: place all nodes here")
        if problems:
            raise InvalidArgument(f"cluster {origin.cluster_name!r} cannot be forked: {'; '.join(problems)}")
        each, there = memory_of_fork_mb(origin, snapshot), available_memory_mb()
        if there is not None and each * len(forks) > there:
            raise HostCapabilityMissing(
                f"{len(forks)} forks need {each * len(forks)} MiB of memory, {each} MiB each, and {there} MiB are "
                "available on this host",
                hint=f"make {there // each} at most, or stop other nodes first",
            )

    async def _host_addresses(self, origin: ClusterRecord, count: int) -> list[IPv4Address]:
        used = {record.spec.network.host_address for record in await readable_records(self._runtime.store)}
        others = {address for address in used if address is not None}
        shared = bool(self._runtime.store.own_host)
        free = list(islice(addresses_for_forks(origin.spec, others, shared=shared), count))
        if len(free) < count:
            raise InvalidArgument(
                f"network.subnet: {origin.spec.network.subnet} has {len(free)} free addresses, and each of {count} "
                "forks needs one for the host: use a larger subnet"
            )
        return free

    async def _taken_for(self, origin: ClusterRecord, first: str) -> tuple[str, Snapshot]:
        """A new snapshot, with memory if any node is up; one of an interrupted attempt is deleted first."""
        cluster, number, name = origin.cluster_name, 1, f"for-{first}"
        use = Snapshots(self._runtime, actor=self._actor, progress=self._progress)
        while (there := origin.snapshots.get(name)) is not None:
            if there.for_forks and not await forks_of(self._runtime.store, cluster, name):
                await use.delete(cluster, name)
                break
            number, name = number + 1, f"for-{first}-{number + 1}"
        memory = any(intent.power is not WantedPower.OFF for intent in origin.nodes.values())
        await use.create(cluster, name, include_memory=memory, for_forks=True)
        return _found(origin, name, await self._runtime.looks.observe(origin))

    async def _base(self, origin: ClusterRecord, name: str, snapshot: Snapshot) -> ForkedFrom:
        """What a fork says of its origin; a fork of what a fork stands on is one of the same cluster."""
        if snapshot.held is not None and origin.forked_from is not None:
            return origin.forked_from
        further = origin.forked_from.lenders if origin.forked_from else ()
        return ForkedFrom(
            cluster=origin.cluster_name,
            snapshot=name,
            identity=origin.identity,
            lenders=(origin.cluster_name, *further),
            store=await self._runtime.store.identity(),
            generation=origin.generation,
        )

    async def _require_possible(self, record: ClusterRecord) -> None:
        difference = await self._runtime.looks.compare(record)
        if difference.observed.layers or difference.observed.domains:
            raise Conflict(
                f"there is something of a cluster {record.cluster_name!r} that has no record",
                hint=f'`cluster_adopt(cluster_name="{record.cluster_name}")` takes it over; or choose another name',
            )
        if problems := await self._runtime.looks.memory_obstacles(difference.desired):
            raise SnapshotFailed(f"{record.forked_from} cannot be forked: {'; '.join(problems)}")
        if terminal := [obstacle for obstacle in difference.plan.obstacles if obstacle.terminal]:
            raise as_error(terminal)

    async def _usable(self, name: str, *, wait: bool, timeout_s: float) -> ClusterStatus:
        record = await existing(self._runtime.store, name)
        running = [node for node, intent in record.nodes.items() if intent.power is WantedPower.RUNNING]
        if wait and running:
            await wait_for_ssh(self._runtime, record, running, timeout_s, self._progress)
            await step_clocks(self._runtime, record, [node for node in running if record.nodes[node].resumes_memory])
        return await self._inspection.status(name)


async def remove_snapshot_of_last_fork(
    runtime: Runtime, of: ForkedFrom | None, *, actor: str, progress: Progress
) -> None:
    """Delete the snapshot of a fork that is gone if it was taken for forks, and no other one stands on it."""
    origin = None if of is None else await runtime.store.get(of.cluster)
    if of is None or origin is None or origin.deletion is not None:
        return
    wanted = origin.snapshots.get(of.snapshot)
    if wanted is None or not wanted.for_forks or await forks_of(runtime.store, of.cluster, of.snapshot):
        return
    try:
        await Snapshots(runtime, actor=actor, progress=progress).delete(of.cluster, of.snapshot)
    except ClusterError as error:  # the fork is gone all the same
        progress.report(f"snapshot {of} stays: {error}")


def _require_new_name(name: str) -> None:
    try:
        require_cluster_name(name)
    except ClusterNotFound as error:
        raise InvalidArgument(error.message, hint=error.hint) from None


def _found(record: ClusterRecord, name: str, observed: ClusterDocument) -> tuple[str, Snapshot]:
    name = resolved_name(record, name)
    found = observed.snapshots.get(name)
    if not isinstance(found, Snapshot) or found.half_made:
        raise snapshot_not_found(record, name)
    return name, found
