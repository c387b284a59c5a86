"""Plans a change before it is recorded, and checks that its costs were approved."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from reconciler.controller.round_results import PlannedDifference
from reconciler.controller.wait import as_error
from reconciler.desired.ended_nodes import nodes_shutting_down, nodes_that_ended
from reconciler.errors import ApprovalRequired, Conflict
from reconciler.model.choices import StopMode
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Action, DefineDomain, Disruption, Plan
from reconciler.model.record import ClusterRecord
from reconciler.plan.consent import addresses_lost
from reconciler.plan.document_queries import should_be_off
from reconciler.plan.halted_machines import way_back
from reconciler.plan.planner import nodes_to_restart
from reconciler.records import adoption, record_changes
from reconciler.records.approval import Approval
from reconciler.records.plan_view import AGREED_TO_BY, resource_address
from reconciler.records.preview import Preview
from reconciler.runtime import Runtime

_SHOWN_LENGTH = 80


async def preview_change(
    runtime: Runtime, before: ClusterRecord | None, after: ClusterRecord, *, start: bool = False
) -> Preview:
    """The preview of replacing `before` by `after`; nodes that have to restart for it get a power cycle.

    With `start`, nodes that are paused or stay off are run again. Observes the host once.
    """
    found = await runtime.looks.compare(after)
    if start and before is not None and (still := with_way_back(after, found.plan, found.observed)) != after:
        after, found = still, await runtime.looks.compare(still, found.observed)
    whole = _with_consequences(before, after, found, runtime.settings.state_dir.absolute())
    final = found if whole == after else await runtime.looks.compare(whole, found.observed)
    preview = Preview(before, whole, final)
    return replace(preview, drift=await _drift(runtime, preview)) if final.plan.actions else preview


def _with_consequences(
    before: ClusterRecord | None, after: ClusterRecord, found: PlannedDifference, state_dir: Path
) -> ClusterRecord:
    if before is None:
        kept = adoption.on_disks_of_a_lost_store(after, found.observed, state_dir)
        return record_changes.on_kept_disks(kept, found.observed)
    restart = nodes_to_restart(found.plan) - record_changes.recreated_nodes(before, after)
    return record_changes.power_cycled(after, restart, StopMode.SHUTDOWN) if restart else after


def with_way_back(after: ClusterRecord, plan: Plan, observed: ClusterDocument) -> ClusterRecord:
    """Resume paused nodes, reboot crashed ones, and start those that would stay off as of `after`."""
    way = way_back(plan, observed)
    after = record_changes.power_cycled(after, way.boots, StopMode.DESTROY) if way.boots else after
    return record_changes.resumed(
        after, way.resumes | nodes_that_ended(after, observed) | nodes_shutting_down(after, observed)
    )


async def _drift(runtime: Runtime, preview: Preview) -> Plan:
    """The drift from a record that was fully applied; empty if it never was."""
    before = preview.before
    status = await runtime.store.status(before.cluster_name) if before else None
    if before is None or status is None or status.settled_generation != before.generation:
        return Plan()
    if before == preview.after:
        return preview.plan
    return (await runtime.looks.compare(before, preview.difference.observed)).plan


Previewer = Callable[[], Awaitable[Preview]]
Shown = Callable[[Preview], None]
"""Called with the preview of a change before it is made."""


def unseen(_preview: Preview) -> None:
    """Shows the change to nobody."""


def require_plan(preview: Preview, wanted: str | None) -> None:
    """Raise `Conflict` if the plan is not the one that the caller was shown."""
    if wanted is not None and wanted != preview.hash:
        raise Conflict(
            f"the plan {wanted[:_SHOWN_LENGTH]!r} of cluster {preview.after.cluster_name!r} is out of date: the "
            "topology, the record or the host has changed since it was shown; nothing was done",
            hint="get the current plan and its hash for `plan_hash` from `cluster_plan`",
        )


async def agreed(runtime: Runtime, preview: Preview, approval: Approval, *, actor: str) -> ClusterRecord:
    """Record the change. Raises `ApprovalRequired` if it costs more than approved, and any terminal obstacle."""
    require_approval(preview, approval)
    if terminal := [obstacle for obstacle in preview.plan.obstacles if obstacle.terminal]:
        raise as_error(terminal)
    generation = preview.before.generation if preview.before else 0
    difference = preview.difference
    lost = addresses_lost(difference.desired, difference.observed) | preview.elsewhere.consent
    consent = lost if approval.data_loss else frozenset()
    record = await runtime.store.put(preview.after, expected_generation=generation, actor=actor, consent=consent)
    if any(fault.expires_at for fault in record.faults.values()):
        await runtime.start_healer(record.cluster_name)
    return record


def require_approval(preview: Preview, approval: Approval) -> None:
    """Raise `ApprovalRequired` naming every action that costs more than was approved."""
    actions = preview.plan.actions
    refused = [action for action in actions if not approval.covers(action.disruption)]
    away = [
        (cost, f"{node}: {told} [{cost}]")
        for cost, of_nodes in (
            (Disruption.DATA_LOSS, preview.elsewhere.losses),
            (Disruption.RESTART, preview.elsewhere.restarts),
        )
        for node, told in of_nodes.items()
        if not approval.covers(cost)
    ]
    if not (refused or away):
        return
    costs = {*(action.disruption for action in refused), *(cost for cost, _ in away)}
    lacking = sorted({AGREED_TO_BY[cost] for cost in costs}, reverse=True)
    nodes = {action.node for action in refused}
    causes = [action for action in actions if isinstance(action, DefineDomain) and action.node in nodes]
    observed, recreated = preview.difference.observed, record_changes.recreation_causes(preview.before, preview.after)

    def cost(action: Action) -> str:
        stays_off = action.disruption is Disruption.RESTART and should_be_off(action.node, preview.difference.desired)
        return "power off" if stays_off else action.disruption

    lines = [
        f"{of.change} {resource_address(of, observed)}: {of.reason}" + (f" [{cost(of)}]" if of in refused else "")
        for of in actions
        if of in refused or of in causes
    ]
    lines += [line for _, line in away]
    lines += [f"{node} is recreated: {cause}" for node, cause in recreated.items() if node in nodes]
    raise ApprovalRequired(
        "the change was not made, because it costs more than was approved:\n  " + "\n  ".join(lines),
        hint=f"pass {' and '.join(f'`{argument}`' for argument in lacking)} to approve it",
    )


def shown_first(previewer: Previewer, approval: Approval, shown: Shown) -> Previewer:
    """Plan a change, check that it is the plan that was approved, and pass it to `shown`."""

    async def told() -> Preview:
        preview = await previewer()
        require_plan(preview, approval.plan_hash)
        shown(preview)
        return preview

    return told
