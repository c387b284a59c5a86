"""Network faults: partition, impair, heal, list, explain."""

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import structlog
from pydantic import Field

from reconciler.errors import (
    ClusterError,
    Conflict,
    FaultNotFound,
    HostCapabilityMissing,
    NodeNotFound,
    RecordUnreadable,
    meant,
)
from reconciler.faults.combine import Fault, wanted_at
from reconciler.faults.explain import explain_link, handle_of
from reconciler.faults.observed import active_faults
from reconciler.model.base import Frozen
from reconciler.model.document import Mark, Unknown, mark_key
from reconciler.model.faults import (
    FaultRequest,
    FaultType,
    LinkExplanation,
    NetFaultHandle,
    NetFaultInfo,
)
from reconciler.model.links import HOST, Inbound
from reconciler.model.names import tap_name
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.progress import Progress, no_progress
from reconciler.records import fault_changes
from reconciler.records.recovery import whose_marks
from reconciler.records.stored_records import change_record, existing, require_cluster_name
from reconciler.runtime import Runtime
from reconciler.store.protocol import Store

FAULT_TIMEOUT_S = 60.0
"""Links change in milliseconds; anything longer means waiting for another change of the cluster."""


_NUMBER = re.compile("[1-9][0-9]{0,8}", re.ASCII)

log = structlog.get_logger(__name__)


class Healed(Frozen):
    """How many faults were healed; those that were already gone do not count."""

    cluster_name: str = Field(description="Name of the cluster.")
    healed: int = Field(description="How many; those that were already gone do not count.")


class Faults:
    """Network faults. A fault is part of the desired state: nodes that are off get theirs before they boot."""

    def __init__(self, runtime: Runtime, *, actor: str, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._progress = progress
        self._change = partial(change_record, runtime.store, actor=actor)

    async def inject(
        self,
        cluster: str,
        request: FaultRequest,
        *,
        duration_s: float | None = None,
        afresh: bool = False,
    ) -> NetFaultHandle:
        """Inject a fault; with `afresh`, as a new one even if an equal one exists.

        Raises `NodeNotFound`, `InvalidArgument`, `NoParameters`, and `HostCapabilityMissing` if the host's kernel
        cannot do it; the request is then withdrawn.
        """
        record, fault = await self._requested(cluster, request, duration_s, afresh=afresh)
        await self._carry_out(record, fault)
        return handle_of(fault, tuple(record.spec.nodes))

    async def inject_held(
        self, cluster: str, request: FaultRequest, *, duration_s: float | None = None
    ) -> tuple[NetFaultHandle, int]:
        """Inject a new fault with a file descriptor that keeps it active.

        The fault is healed when the last copy of the descriptor is closed, even by a kill. If it cannot be applied in
        time, it is taken back. Raises as `inject` does.
        """
        record, fault = await self._requested(cluster, request, duration_s, afresh=True)
        lifeline = await self._heal_when_gone(cluster, fault.handle_id)
        try:
            await self._carry_out(record, fault)
        except BaseException:
            os.close(lifeline)
            await self._take_back(cluster, fault.handle_id)
            raise
        return handle_of(fault, tuple(record.spec.nodes)), lifeline

    async def _requested(
        self, cluster: str, request: FaultRequest, duration_s: float | None, *, afresh: bool
    ) -> tuple[ClusterRecord, Fault]:
        made: list[Fault] = []

        def edit(before: ClusterRecord) -> ClusterRecord:
            now = datetime.now(UTC)
            after, fault = fault_changes.with_fault(before, request, now=now, duration_s=duration_s, afresh=afresh)
            made[:] = [fault]
            return after

        if request.shaping is not None:
            edit(await existing(self._runtime.store, cluster))  # problems of the request itself are reported first
            await self._runtime.links.require(request.shaping)
        record = await self._change(cluster, edit)
        (fault,) = made
        return record, fault

    async def heal(self, cluster: str, handle: str) -> bool:
        """Heal a fault; succeeds if it is already gone.

        `handle` may be its name in the topology. Raises `FaultNotFound` for one that never existed.
        """
        await self.heal_many(cluster, [handle])
        return True

    async def heal_all(self, cluster: str) -> int:
        """Heal all faults of the cluster, those of its topology too until the next `apply`; returns their number.

        If the record is lost or cannot be read, removes what carries the cluster's mark on the host, and counts the
        places. What another store has made stays: raises `Conflict`, which says whose it is.
        """
        require_cluster_name(cluster)
        if not await _has_record(self._runtime.store, cluster):
            return await self._heal_by_marks(cluster)
        healed = 0

        def edit(before: ClusterRecord) -> ClusterRecord:
            nonlocal healed
            healed = len(wanted_at(before.faults.values(), datetime.now(UTC)))
            return fault_changes.without_faults(before, before.faults)

        record = await self._change(cluster, edit)
        await self._converge(record)
        return healed

    async def heal_many(self, cluster: str, handles: Sequence[str] | None) -> Healed:
        """Heal these faults, or with None all of them; heals nothing if one of the handles never existed."""
        if handles is None:
            return Healed(cluster_name=cluster, healed=await self.heal_all(cluster))
        before = await existing(self._runtime.store, cluster)
        gone = {one for handle in handles for one in _handles_meant(before, handle)}
        record = await self._change(cluster, lambda record: fault_changes.without_faults(record, gone))
        await self._converge(record)
        return Healed(cluster_name=cluster, healed=len(gone))

    async def expire(self, cluster: str) -> None:
        """Remove expired faults from the host and the record."""
        record = await self._change(
            cluster,
            lambda before: fault_changes.without_expired_faults(before, now=datetime.now(UTC)),
            consent=lambda before: frozenset(before.consent),  # only time has changed it, not a request
        )
        await self._converge(record)

    async def listing(self, cluster: str) -> list[NetFaultInfo]:
        """The desired faults, oldest first, with the observed state of each."""
        record = await existing(self._runtime.store, cluster)
        links = await self._observed(record) if _wanted(record) else None
        nodes, here = tuple(record.spec.nodes), await self._runtime.looks.parts.nodes_here(record)
        seen = active_faults(record.faults.values(), nodes, links, datetime.now(UTC), here)
        return list(await self._runtime.looks.parts.faults_everywhere(record, seen))

    async def explain(self, cluster: str, sender: str, receiver: str) -> LinkExplanation:
        """What happens to packets from one node to another, and because of which faults; `@host` is the host."""
        record = await existing(self._runtime.store, cluster)
        for end in (sender, receiver):
            _require_end(record, end)
        return explain_link(_wanted(record), tuple(record.spec.nodes), sender, receiver)

    async def _heal_when_gone(self, cluster: str, handle: str) -> int:
        """If no process that heals can be started, the fault is healed immediately and the error raised."""
        end, lifeline = os.pipe()
        try:
            await self._runtime.start_fault_watcher(cluster, handle, end)
        except BaseException:
            os.close(lifeline)
            await self._take_back(cluster, handle)
            raise
        finally:
            os.close(end)
        return lifeline

    async def _carry_out(self, record: ClusterRecord, fault: Fault) -> None:
        """Wait until a new fault is applied; withdraw it if it cannot be, or could not expire in time."""
        cared_for = fault.expires_at is None
        try:
            if fault.expires_at is not None:
                await self._runtime.start_healer(record.cluster_name)
                cared_for = True
            await self._converge(record)
        except ClusterError as error:
            if error.terminal or not cared_for:
                await self._take_back(record.cluster_name, fault.handle_id)
            raise

    async def _take_back(self, cluster: str, handle: str) -> None:
        """Withdraw a fault that cannot be applied, so that it does not block the rest of the desired state."""
        try:
            record = await self._change(cluster, lambda before: fault_changes.without_faults(before, [handle]))
            await self._converge(record)
        except ClusterError as error:
            log.warning("fault_not_healed_yet", cluster=cluster, handle=handle, cause=str(error))

    async def _converge(self, record: ClusterRecord) -> None:
        """Wait until the links are as desired; other obstacles of the cluster do not matter.

        Also raises `HostCapabilityMissing` if the cluster is otherwise as desired but its links cannot be observed.
        """
        try:
            await self._runtime.controller.converge(record, timeout_s=FAULT_TIMEOUT_S, tell=self._progress.event)
        except ClusterError:
            if not await self._links_hold(record):
                raise
        else:
            await self._require_seen(record)

    async def _links_hold(self, record: ClusterRecord) -> bool:
        applied = await self._said_of_links(record)
        return applied is not None and applied.status is ConditionStatus.TRUE

    async def _require_seen(self, record: ClusterRecord) -> None:
        applied = await self._said_of_links(record)
        if applied is not None and applied.status is ConditionStatus.UNKNOWN:
            raise HostCapabilityMissing(f"the links cannot be observed: {applied.message}", hint="run this as root")

    async def _said_of_links(self, record: ClusterRecord) -> Condition | None:
        said = await self._runtime.store.status(record.cluster_name)
        if said is None or said.observed_generation < record.generation:
            return None
        return next((one for one in said.conditions if one.type is ConditionType.FAULTS_APPLIED), None)

    async def _heal_by_marks(self, cluster: str) -> int:
        """Raises `Conflict` for links that another store has made, once those of this one are healed."""
        domains = await self._runtime.libvirt.find_domains(cluster)
        told, marks = await whose_marks(self._runtime, cluster)
        marked = [node for node, found in domains.items() if found.record is not None]
        ours = [node for node in marked if isinstance(marks.get(mark_key("domains", node)), Mark)]
        taps = [tap_name(cluster, node) for node in ours]
        healed = await self._runtime.controller.heal_by_marks(cluster, taps, cuts=not told)
        if told:
            done = f"{healed} links were healed, and " if healed else ""
            raise Conflict(f"{done}faults on what others made for cluster {cluster!r} were left alone: {told}")
        if not (marked or healed):
            await existing(self._runtime.store, cluster)  # there is no such cluster, and nothing of it
        return healed

    async def _observed(self, record: ClusterRecord) -> Mapping[str, Inbound | Unknown] | None:
        """The observed links; None if the host cannot be observed."""
        try:
            return (await self._runtime.looks.observe(record)).links
        except ClusterError as error:
            log.info("links_not_observed", cluster=record.cluster_name, cause=str(error))
            return None


async def _has_record(store: Store, cluster: str) -> bool:
    """Whether there is one that can be read."""
    try:
        return await store.get(cluster) is not None
    except RecordUnreadable:
        return False


def _wanted(record: ClusterRecord) -> tuple[Fault, ...]:
    return wanted_at(record.faults.values(), datetime.now(UTC))


def _handles_meant(record: ClusterRecord, handle: str) -> list[str]:
    """The handles to heal; empty if the fault is already gone."""
    if handle in record.faults:
        return [handle]
    named = [fault.handle_id for fault in record.faults.values() if fault.declared_as == handle]
    if not named and handle not in record.spec.faults and not _once_was(record, handle):
        hint = meant(handle, [*record.faults, *record.spec.faults], f"it has {', '.join(record.faults) or 'none'}")
        raise FaultNotFound(f"cluster {record.cluster_name!r} has no fault {handle!r}", hint=hint)
    return named


def _once_was(record: ClusterRecord, handle: str) -> bool:
    """Whether a handle was ever assigned: numbers are shared by both kinds and never reused."""
    kind, _, number = handle.rpartition("-")
    if kind not in set(FaultType) or not _NUMBER.fullmatch(number):
        return False
    taken = {of.rpartition("-")[2] for of in record.faults}
    return int(number) <= record.fault_requests and number not in taken


def _require_end(record: ClusterRecord, end: str) -> None:
    if end != HOST and end not in record.spec.nodes:
        raise NodeNotFound(
            f"cluster {record.cluster_name!r} has no node {end!r}",
            node=end,
            hint=meant(
                end,
                [*record.spec.nodes, HOST],
                f"it has {', '.join(record.spec.nodes)}, and {HOST} stands for the host",
            ),
        )
