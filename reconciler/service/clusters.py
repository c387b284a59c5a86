"""Whole clusters: define, apply, plan, start, stop, destroy."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reconciler.controller.controller import as_error
from reconciler.controller.round import Difference
from reconciler.desired.load import load_spec
from reconciler.errors import (
    ApprovalRequired,
    ClusterError,
    LibvirtUnavailable,
    OperationTimeout,
)
from reconciler.model.document import Power, PowerState
from reconciler.model.plan import DefineDomain, Disruption, Plan
from reconciler.model.record import ClusterRecord, ClusterSpec, StopMode, WantedPower
from reconciler.model.results import ClusterStatus
from reconciler.plan.planner import nodes_to_restart
from reconciler.service import intent, waiting
from reconciler.service.access import addresses, change, existing, recorded
from reconciler.service.inspection import Inspection
from reconciler.service.plan_view import resource_address
from reconciler.service.progress import Progress, no_progress
from reconciler.service.runtime import Runtime

CONVERGE_TIMEOUT_S = 60.0
"""How long a change of definitions may take, without any boot."""


@dataclass(frozen=True, slots=True)
class Approval:
    """What the caller accepts that a change costs."""

    restart: bool = False
    data_loss: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """A change that was thought through and not written: the record that it would make, and what would be done."""

    before: ClusterRecord | None
    after: ClusterRecord
    difference: Difference

    @property
    def plan(self) -> Plan:
        return self.difference.plan


class Clusters:
    """The verbs on whole clusters. Each changes a record, then waits until the host is as the record wants."""

    def __init__(self, runtime: Runtime, *, actor: str) -> None:
        self._runtime = runtime
        self._actor = actor
        self._inspection = Inspection(runtime)

    async def plan(self, topology: str | Path, *, start: bool = True) -> Preview:
        """What `apply` of a topology would do now. Changes nothing."""
        cluster, spec = await self._load(topology)
        return await self._preview(cluster, spec, start=start)

    async def apply(
        self,
        topology: str | Path,
        *,
        start: bool = True,
        wait_for_ssh: bool = True,
        approval: Approval = Approval(),
        timeout_s: float = 120.0,
        progress: Progress = no_progress,
    ) -> ClusterStatus:
        """Converge the host to a topology.

        Raises `ApprovalRequired`, having changed nothing, where that would restart nodes or lose data and the
        caller has not agreed.
        """
        cluster, spec = await self._load(topology)
        record = await self._write(cluster, spec, start=start, approval=approval)
        await waiting.converge(self._runtime, record, CONVERGE_TIMEOUT_S, progress)
        if start and wait_for_ssh:
            await waiting.wait_for_ssh(self._runtime, record, list(spec.nodes), timeout_s, progress)
        return await self._inspection.status(cluster)

    async def define(self, topology: str, *, progress: Progress = no_progress) -> ClusterStatus:
        """Networks, disks, seeds and domains exist as the topology says; nothing boots."""
        return await self.apply(topology, start=False, progress=progress)

    async def start(
        self,
        cluster: str,
        *,
        wait_for_ssh: bool = True,
        ssh_timeout_s: float = 120.0,
        paused: bool = False,
        progress: Progress = no_progress,
    ) -> ClusterStatus:
        """All nodes run; with `wait_for_ssh`, all of them let us log in, or `SshTimeout` is raised.

        With `paused` they are powered on with their CPUs stopped.
        """
        record = await existing(self._runtime.store, cluster)
        still = frozenset() if paused else await self._standing_still(record)
        record = await self._change(cluster, lambda before: intent.started(before, resume=still, paused=paused))
        await waiting.converge(self._runtime, record, CONVERGE_TIMEOUT_S, progress)
        if wait_for_ssh and not paused:
            await waiting.wait_for_ssh(self._runtime, record, list(record.spec.nodes), ssh_timeout_s, progress)
        return await self._inspection.status(cluster)

    async def stop(
        self,
        cluster: str,
        *,
        mode: StopMode = StopMode.SHUTDOWN,
        timeout_s: float = 60.0,
        progress: Progress = no_progress,
    ) -> ClusterStatus:
        """All nodes are off. Raises `OperationTimeout` naming the nodes that are still up.

        What else stands in a cluster's way does not matter where its nodes are off.
        """
        record = await self._change(cluster, lambda before: intent.stopped(before, mode))
        try:
            await waiting.converge(self._runtime, record, timeout_s, progress)
        except ClusterError as error:
            await self._raise_if_up(record, timeout_s, error)
        return await self._inspection.status(cluster)

    async def destroy(
        self, cluster: str, *, remove_overlays: bool = False, progress: Progress = no_progress
    ) -> ClusterStatus:
        """Domains and network are gone; with `remove_overlays`, disks, seeds and host keys too.

        What is gone already is a success; a name that never was is `ClusterNotFound`.
        """
        record = await self._mark_deleted(cluster, remove_overlays)
        if record is not None:
            await self._runtime.controller.converge(record, timeout_s=CONVERGE_TIMEOUT_S, tell=progress.event)
        return ClusterStatus(cluster_name=cluster, network_active=False, nodes=())

    async def crash(
        self,
        cluster: str,
        node: str,
        *,
        restart_after: bool = True,
        wait_for_ssh: bool = True,
        ssh_timeout_s: float = 120.0,
        progress: Progress = no_progress,
    ) -> ClusterStatus:
        """Cut a node's power and, with `restart_after`, boot it again."""
        addresses(await existing(self._runtime.store, cluster), [node])
        power = {node: WantedPower.RUNNING if restart_after else WantedPower.OFF}
        record = await self._change(
            cluster,
            lambda before: intent.power_cycled(before, frozenset({node}), StopMode.DESTROY, power=power),
        )
        await waiting.converge(self._runtime, record, CONVERGE_TIMEOUT_S, progress)
        if restart_after and wait_for_ssh:
            await waiting.wait_for_ssh(self._runtime, record, [node], ssh_timeout_s, progress)
        return await self._inspection.status(cluster)

    # From here on: how the verbs are made.

    async def _load(self, topology: str | Path) -> tuple[str, ClusterSpec]:
        return await asyncio.to_thread(load_spec, topology, self._runtime.settings)

    async def _preview(self, cluster: str, spec: ClusterSpec, *, start: bool) -> Preview:
        before = await self._runtime.store.get(cluster)
        after = intent.with_declared_faults(intent.with_spec(before, cluster, spec), now=datetime.now(UTC))
        if start:
            after = intent.started(after)
        difference = await self._runtime.rounds.compare(after)
        if before is None:
            after = intent.on_kept_disks(after, difference.observed)
        elif restart := nodes_to_restart(difference.plan) - intent.recreated_nodes(before, after):
            after = intent.power_cycled(after, restart, StopMode.SHUTDOWN)
        return Preview(before, after, await self._runtime.rounds.compare(after, difference.observed))

    async def _write(self, cluster: str, spec: ClusterSpec, *, start: bool, approval: Approval) -> ClusterRecord:
        preview = await self._preview(cluster, spec, start=start)
        _require_approval(preview.difference, approval)
        if terminal := [obstacle for obstacle in preview.plan.obstacles if obstacle.terminal]:
            raise as_error(terminal)
        generation = preview.before.generation if preview.before else 0
        record = await self._runtime.store.put(preview.after, expected_generation=generation, actor=self._actor)
        if any(fault.expires_at for fault in record.faults.values()):
            await self._runtime.leave_healer(cluster)
        return record

    async def _change(self, cluster: str, edit: Callable[[ClusterRecord], ClusterRecord]) -> ClusterRecord:
        return await change(self._runtime.store, cluster, edit, actor=self._actor)

    async def _mark_deleted(self, cluster: str, remove_overlays: bool) -> ClusterRecord | None:
        """The record of a cluster that goes; None where it went already."""
        store = self._runtime.store
        if await store.get(cluster) is None and await store.history(cluster):
            return None

        def edit(before: ClusterRecord) -> ClusterRecord:
            return intent.deleted(before, remove_overlays=remove_overlays)

        return await change(store, cluster, edit, actor=self._actor, read=recorded)

    async def _standing_still(self, record: ClusterRecord) -> frozenset[str]:
        """Nodes whose CPUs are stopped, which a start lets run on; none that we know of while libvirt is away."""
        try:
            power = (await self._runtime.rounds.compare(record)).observed.power
        except LibvirtUnavailable:
            return frozenset()
        stopped = {PowerState.PAUSED, PowerState.BLOCKED}
        return frozenset(name for name, of in power.items() if isinstance(of, Power) and of.state in stopped)

    async def _raise_if_up(self, record: ClusterRecord, timeout_s: float, error: ClusterError) -> None:
        status = await self._inspection.status(record.cluster_name)
        up = [node.name for node in status.nodes if node.domain_state != "shut off"]
        if not up:
            return
        if not isinstance(error, OperationTimeout):
            raise error
        late = OperationTimeout(
            f"still up after {timeout_s:g} s: {', '.join(up)}",
            node=up[0] if len(up) == 1 else None,
            hint="they go on shutting down when they can; `vmcluster stop --mode destroy` cuts their power",
        )
        late.partial = status
        raise late from error


def _require_approval(difference: Difference, approval: Approval) -> None:
    costs = {Disruption.RESTART: not approval.restart, Disruption.RECREATE: not approval.data_loss}
    costs[Disruption.DATA_LOSS] = not approval.data_loss
    actions = difference.plan.actions
    refused = [action for action in actions if costs.get(action.disruption, False)]
    if not refused:
        return
    loses = any(action.disruption is not Disruption.RESTART for action in refused)
    nodes = {action.node for action in refused}
    causes = [action for action in actions if isinstance(action, DefineDomain) and action.node in nodes]
    lines = [
        f"{of.change} {resource_address(of, difference.observed)}: {of.reason} [{of.disruption}]"
        for of in actions
        if of in refused or of in causes
    ]
    raise ApprovalRequired(
        "the change was not made, because it costs more than was agreed to:\n  " + "\n  ".join(lines),
        hint=f"`vmcluster plan` shows it whole; `vmcluster apply {'--allow-data-loss' if loses else '--allow-restart'}`"
        " makes it",
    )
