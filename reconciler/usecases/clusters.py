"""Whole clusters: define, apply, plan, start, stop, destroy."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from reconciler.controller.inline_controller import CarriedOut, Decide
from reconciler.controller.round_results import PlannedChange
from reconciler.desired.boot_files import with_files_that_are_there
from reconciler.desired.ended_nodes import standing_still
from reconciler.desired.topology_text import GivenTopology
from reconciler.errors import ClusterError, Conflict, LibvirtUnavailable, OperationTimeout
from reconciler.files.roots import Reach
from reconciler.health.node_failures import only_one
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument
from reconciler.model.record import ClusterRecord, ClusterSpec, WantedPower
from reconciler.model.results import ClusterStatus, NodeStatus
from reconciler.progress import Progress, no_progress
from reconciler.records import fault_changes, record_changes
from reconciler.records.approval import NOTHING_AGREED, Approval
from reconciler.records.node_addresses import addresses
from reconciler.records.preview import Preview
from reconciler.records.proposal import Previewer, Shown, agreed, preview_change, shown_first, unseen
from reconciler.records.recovery import bare_record, record_at, require_same_cluster
from reconciler.records.stored_records import change_record, existing, recorded, require_cluster_name, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases import convergence
from reconciler.usecases.forks import remove_snapshot_of_last_fork
from reconciler.usecases.forks_of_clusters import require_no_forks
from reconciler.usecases.found_clusters import bind_copied_files, fork_to_adopt, preview_as_found, to_be_removed
from reconciler.usecases.host_paths import reach_of_commands
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.loading import load_for_host
from reconciler.usecases.placing import placed, placed_again, where_they_are, with_other_hosts
from reconciler.usecases.template_builds import build_templates

Nodes = str | Sequence[str] | None
"""Names of nodes; None, an empty list or "all" means every node."""

CONVERGE_TIMEOUT_S = 60.0
"""Time limit for changing definitions without booting anything."""

_MAY_BE_LEFT = (
    "without a record, only files of extra disks that a definition, layer or snapshot names are found; others of "
    "this cluster stay: `getfattr -n user.vmcluster FILE` shows whose a file is"
)


class Clusters:
    """Whole clusters. Each method changes a record, then waits until the host matches it."""

    def __init__(
        self, runtime: Runtime, *, actor: str, progress: Progress = no_progress, reach: Reach | None = None
    ) -> None:
        self._runtime = runtime
        self._actor = actor
        self._progress = progress
        self._change = partial(change_record, runtime.store, actor=actor)
        self._reach = reach or reach_of_commands(runtime.settings)
        self._inspection = Inspection(runtime)
        self._build_templates = partial(build_templates, runtime, progress=progress)

    async def plan(self, topology: GivenTopology, *, start: bool = True) -> Preview:
        """The plan of `apply` for a topology. Changes nothing."""
        cluster, spec = await self._load(topology)
        return await self._preview(cluster, spec, start=start)

    async def apply(
        self,
        topology: GivenTopology,
        *,
        start: bool = True,
        wait_for_ssh: bool = True,
        approval: Approval = NOTHING_AGREED,
        shown: Shown = unseen,
        timeout_s: float = 120.0,
    ) -> ClusterStatus:
        """Converge the host to a topology; carries out exactly the plan that `shown` gets beforehand.

        With `wait_for_ssh` it waits for logins, and for cloud-init on nodes with `user_data`. Raises, before anything
        is changed, `ApprovalRequired` if the plan would restart nodes or lose data and the caller has not approved
        that, and `Conflict` if it is not the plan that was approved.
        """
        cluster, spec = await self._load(topology)
        if start:
            await self._build_templates(
                cluster, spec, lambda: self._preview(cluster, spec, start=True), timeout_s=timeout_s
            )
        previewer = shown_first(lambda: self._preview(cluster, spec, start=start), approval, shown)
        done = await self._carry_out(cluster, previewer, approval)
        return await self._answer(done, list(spec.nodes) if start and wait_for_ssh else [], timeout_s)

    async def define(self, topology: GivenTopology) -> ClusterStatus:
        """Create or update networks, disks, seeds and domains as in the topology; boots nothing."""
        return await self.apply(topology, start=False)

    async def plan_rollback(self, cluster: str, *, to: int | None = None) -> Preview:
        """The plan of `rollback`. Changes nothing."""
        before = await self._runtime.store.get(cluster)
        found = await record_at(self._runtime, cluster, to)
        then = await asyncio.to_thread(with_files_that_are_there, found, before)
        then, placements = await placed_again(self._runtime, then, before)
        after = fault_changes.with_declared_faults(record_changes.rolled_back(before, then), now=datetime.now(UTC))
        preview = replace(await preview_change(self._runtime, before, after), back_to=found.generation)
        return await with_other_hosts(self._runtime, preview, placements)

    async def rollback(
        self,
        cluster: str,
        *,
        to: int | None = None,
        wait_for_ssh: bool = True,
        approval: Approval = NOTHING_AGREED,
        shown: Shown = unseen,
        timeout_s: float = 120.0,
    ) -> ClusterStatus:
        """Roll back to the topology and power state of an earlier generation.

        Default: the last generation in which they differ. Snapshots, crashes and reverts are not undone. Shows the
        plan, raises and waits as `apply` does, for the nodes that should run.
        """
        spec = (await record_at(self._runtime, cluster, to)).spec
        await self._build_templates(cluster, spec, lambda: self.plan_rollback(cluster, to=to), timeout_s=timeout_s)
        previewer = shown_first(lambda: self.plan_rollback(cluster, to=to), approval, shown)
        done = await self._carry_out(cluster, previewer, approval)
        running = [node for node, of in done.record.nodes.items() if of.power is WantedPower.RUNNING]
        return await self._answer(done, running if wait_for_ssh else [], timeout_s)

    async def adopt(
        self, cluster: str, topology: GivenTopology | None = None, *, approval: Approval = NOTHING_AGREED
    ) -> ClusterStatus:
        """Rebuild the record of a cluster from its topology and the host, and take over what another store has made.

        Use it if a record was lost, cannot be read or is older than the host's state, or if another store, a copy of
        this one or a restored backup made things. Power, disks, snapshots and requests are taken from the host. If only
        the status is damaged, the record stays and a round rewrites the status. Raises `Conflict` if there is nothing
        to repair.
        """
        name, spec = await self._to_adopt(cluster, topology)
        require_same_cluster(name, cluster)
        damage = await self._runtime.store.discard_damaged(cluster, actor=self._actor)
        record = await self._runtime.store.get(cluster)
        spec = await where_they_are(self._runtime, spec, record)
        bound = await bind_copied_files(self._runtime, cluster, spec, record)
        if record is None or (await self._runtime.looks.compare(record)).plan.foreign:
            done = await self._carry_out(
                cluster, lambda: preview_as_found(self._runtime, cluster, spec, record), approval
            )
        elif damage is not None or bound:
            done = await self._converge(record)
        else:
            raise Conflict(f"cluster {cluster!r} already has an intact record", hint="`cluster_apply` converges it")
        return await self._inspection.status(cluster, done.look)

    async def _to_adopt(self, cluster: str, topology: GivenTopology | None) -> tuple[str, ClusterSpec]:
        its_record = None if topology else await fork_to_adopt(self._runtime, cluster)
        return (cluster, its_record.spec) if its_record else await self._load(topology or cluster)

    async def destroy_by_marks(
        self,
        cluster: str,
        *,
        remove_overlays: bool = False,
        take_over: bool = False,
    ) -> ClusterStatus:
        """Remove everything on the host with the cluster's mark, even if its record is lost or damaged.

        What another store has made is removed only with `take_over`; otherwise raises `Conflict`, which names that
        store.
        """
        require_cluster_name(cluster)
        await self._runtime.store.discard_damaged(cluster, actor=self._actor)
        readable = await self._runtime.store.get(cluster)
        found = readable or await bare_record(self._runtime, cluster)
        record = await to_be_removed(self._runtime, found, take_over=take_over)
        if record is not readable:
            generation = readable.generation if readable else 0
            await self._runtime.store.put(record, expected_generation=generation, actor=self._actor)
        status = await self.destroy(cluster, remove_overlays=remove_overlays)
        if readable is None and remove_overlays:
            self._progress.report(_MAY_BE_LEFT)
        return status

    async def start(
        self,
        cluster: str,
        *,
        wait_for_ssh: bool = True,
        ssh_timeout_s: float = 120.0,
        paused: bool = False,
        nodes: Nodes = None,
    ) -> ClusterStatus:
        """Start nodes, by default all; with `wait_for_ssh`, wait for their logins or raise `SshTimeout`.

        For nodes with `user_data` it also waits for cloud-init, or raises `ProvisioningFailed` or `OperationTimeout`.
        With `paused` they are powered on with their CPUs paused.
        """
        found = await existing(self._runtime.store, cluster)
        chosen = select_nodes(found, nodes)
        after = record_changes.started(found, nodes=chosen)
        await self._build_templates(
            cluster, found.spec, lambda: self._runtime.looks.compare(after), timeout_s=ssh_timeout_s
        )

        async def decide() -> PlannedChange:
            record = await existing(self._runtime.store, cluster)
            observed = await self._observed(record)
            seen = observed and await self._runtime.looks.parts.with_others(record, observed)
            still = frozenset() if paused or seen is None else standing_still(record, seen)

            def edit(before: ClusterRecord) -> ClusterRecord:
                return record_changes.started(before, nodes=select_nodes(before, nodes), resume=still, paused=paused)

            record = await self._change(cluster, edit)
            return PlannedChange(record, await self._runtime.looks.compare(record, observed) if observed else None)

        done = await self._decide_and_act(cluster, decide, nodes=chosen)
        return await self._answer(done, chosen if wait_for_ssh and not paused else [], ssh_timeout_s)

    async def restart(
        self,
        cluster: str,
        *,
        nodes: Nodes = None,
        mode: StopMode = StopMode.SHUTDOWN,
        wait_for_ssh: bool = True,
        ssh_timeout_s: float = 120.0,
    ) -> ClusterStatus:
        """Stop nodes, by default all, and boot them again; boots those that are off.

        A node that does not shut down in time is powered off.
        """

        def edit(before: ClusterRecord) -> ClusterRecord:
            chosen = frozenset(select_nodes(before, nodes))
            return record_changes.power_cycled(before, chosen, mode, power=dict.fromkeys(chosen, WantedPower.RUNNING))

        record = await self._change(cluster, edit)
        chosen = select_nodes(record, nodes)
        done = await self._converge(record, nodes=chosen)
        return await self._answer(done, chosen if wait_for_ssh else [], ssh_timeout_s)

    async def stop(
        self, cluster: str, *, mode: StopMode = StopMode.SHUTDOWN, timeout_s: float = 60.0, nodes: Nodes = None
    ) -> ClusterStatus:
        """Stop nodes, by default all; they stay off. Raises `OperationTimeout` naming those that are still up.

        Other obstacles of the cluster do not matter once the nodes are off.
        """

        def edit(before: ClusterRecord) -> ClusterRecord:
            return record_changes.stopped(before, mode, nodes=select_nodes(before, nodes))

        record = await self._change(cluster, edit)
        chosen, look = select_nodes(record, nodes), None
        try:
            look = (await self._converge(record, timeout_s, nodes=chosen)).look
        except ClusterError as error:
            await self._raise_if_up(record, chosen, timeout_s, error)
        return await self._inspection.status(cluster, look)

    async def destroy(self, cluster: str, *, remove_overlays: bool = False) -> ClusterStatus:
        """Remove domains and network; with `remove_overlays`, also disks, seeds and host keys.

        Succeeds if the cluster is already destroyed; raises `ClusterNotFound` for a name that never existed, and
        `Conflict` naming the forks that stand on the disks that would be removed.
        """
        if remove_overlays:
            await require_no_forks(self._runtime.store, cluster)
        record = await self._mark_deleted(cluster, remove_overlays)
        if record is not None:
            await self._converge(record)
        if remove_overlays:
            await remove_snapshot_of_last_fork(
                self._runtime, record.forked_from if record else None, actor=self._actor, progress=self._progress
            )
        return ClusterStatus(
            cluster_name=cluster,
            network_active=False,
            nodes=(),
            removed_nodes=tuple(record.spec.nodes) if record else (),
            disks_kept=None if record is None else not remove_overlays,
        )

    async def crash(
        self,
        cluster: str,
        node: str,
        *,
        restart_after: bool = True,
        wait_for_ssh: bool = True,
        ssh_timeout_s: float = 120.0,
    ) -> NodeStatus:
        """Cut a node's power and, with `restart_after`, boot it again."""
        await addresses(self._runtime, await existing(self._runtime.store, cluster), [node])
        power = {node: WantedPower.RUNNING if restart_after else WantedPower.OFF}
        record = await self._change(
            cluster,
            lambda before: record_changes.power_cycled(before, frozenset({node}), StopMode.DESTROY, power=power),
        )
        try:
            look = (await self._converge(record, nodes=[node])).look
            if restart_after and wait_for_ssh:
                await convergence.wait_for_ssh(self._runtime, record, [node], ssh_timeout_s, self._progress)
                look = None
        except ClusterError as error:
            error.partial = error.partial and _of_node(error.partial, node)
            raise
        return _of_node(await self._inspection.status(cluster, look), node)

    # Below: the parts that these methods share.

    async def _load(self, topology: GivenTopology) -> tuple[str, ClusterSpec]:
        return await load_for_host(self._runtime, topology, self._reach)

    async def _preview(self, cluster: str, spec: ClusterSpec, *, start: bool) -> Preview:
        before = await self._runtime.store.get(cluster)
        spec, placements = await placed(self._runtime, cluster, spec, before)
        after = record_changes.with_spec(before, cluster, spec)
        after = fault_changes.with_declared_faults(after, now=datetime.now(UTC))
        after = record_changes.started(after) if start else after
        preview = await preview_change(self._runtime, before, after, start=start)
        return await with_other_hosts(self._runtime, preview, placements)

    async def _carry_out(self, cluster: str, preview: Previewer, approval: Approval) -> CarriedOut:
        """Record the planned change if it is approved, and carry it out."""

        async def decide() -> PlannedChange:
            planned = await preview()
            return PlannedChange(await agreed(self._runtime, planned, approval, actor=self._actor), planned.difference)

        return await self._decide_and_act(cluster, decide)

    async def _decide_and_act(self, cluster: str, decide: Decide, *, nodes: Sequence[str] | None = None) -> CarriedOut:
        async with convergence.telling_status(self._runtime, cluster):
            return await self._runtime.controller.carry_out(
                cluster, decide, timeout_s=CONVERGE_TIMEOUT_S, tell=self._progress.event, nodes=nodes
            )

    async def _converge(
        self, record: ClusterRecord, timeout_s: float = CONVERGE_TIMEOUT_S, *, nodes: Sequence[str] | None = None
    ) -> CarriedOut:
        async with convergence.telling_status(self._runtime, record.cluster_name):
            return await self._runtime.controller.converge(
                record, timeout_s=timeout_s, tell=self._progress.event, nodes=nodes
            )

    async def _answer(self, done: CarriedOut, nodes: list[str], timeout_s: float) -> ClusterStatus:
        """The status of the cluster, once `nodes` are usable; where that took a boot, as it is by then."""
        if nodes:
            await convergence.wait_until_usable(self._runtime, done.record, nodes, timeout_s, self._progress)
        return await self._inspection.status(done.record.cluster_name, None if nodes and done.acted else done.look)

    async def _mark_deleted(self, cluster: str, remove_overlays: bool) -> ClusterRecord | None:
        """The record of a cluster that is being destroyed; None if it is already destroyed."""
        store = self._runtime.store
        if await store.get(cluster) is None and await store.history(cluster):
            return None

        def edit(before: ClusterRecord) -> ClusterRecord:
            return record_changes.deleted(before, remove_overlays=remove_overlays)

        def consent(_before: ClusterRecord) -> frozenset[str]:
            return record_changes.agreed_by_deletion(remove_overlays=remove_overlays)

        return await change_record(store, cluster, edit, actor=self._actor, consent=consent, read=recorded)

    async def _observed(self, record: ClusterRecord) -> ClusterDocument | None:
        """The cluster as it is; None while libvirt is away."""
        try:
            return await self._runtime.looks.observe(record)
        except LibvirtUnavailable:
            return None

    async def _raise_if_up(
        self, record: ClusterRecord, nodes: Sequence[str], timeout_s: float, error: ClusterError
    ) -> None:
        status = await self._inspection.status(record.cluster_name)
        up = [node.name for node in status.nodes if node.name in nodes and node.domain_state != "shut off"]
        if not up:
            return
        if not isinstance(error, OperationTimeout):
            raise error
        late = OperationTimeout(
            f"still up after {timeout_s:g} s: {', '.join(up)}",
            node=only_one(up),
            hint='they may still shut down; `cluster_stop(mode="destroy")` cuts their power',
        )
        late.partial = status
        raise late from error


def _of_node(status: ClusterStatus, name: str) -> NodeStatus:
    return next(node for node in status.nodes if node.name == name)
