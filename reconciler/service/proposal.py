"""A change that is thought through before it is written: what it would do, and whether that was agreed to."""

from dataclasses import dataclass, field

from reconciler.controller.controller import as_error
from reconciler.controller.round import Difference
from reconciler.errors import ApprovalRequired
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import DefineDomain, Disruption, Plan
from reconciler.model.record import ClusterRecord, StopMode
from reconciler.plan.planner import nodes_to_restart
from reconciler.service import intent
from reconciler.service.plan_view import resource_address
from reconciler.service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Approval:
    """What the caller accepts that a change costs."""

    restart: bool = False
    data_loss: bool = False


NOTHING_AGREED = Approval()


@dataclass(frozen=True, slots=True)
class Preview:
    """A change that was thought through and not written: the record that it would make, and what would be done.

    `drift` is what would be done without the change, because the host was changed since the record was brought about.
    """

    before: ClusterRecord | None
    after: ClusterRecord
    difference: Difference
    drift: Plan = field(default_factory=Plan)

    @property
    def plan(self) -> Plan:
        return self.difference.plan


async def thought_through(runtime: Runtime, before: ClusterRecord | None, after: ClusterRecord) -> Preview:
    """What writing `after` over `before` would do; nodes that have to restart for it get a power cycle."""
    difference = await runtime.rounds.compare(after)
    if before is None:
        after = intent.on_kept_disks(after, difference.observed)
    elif restart := nodes_to_restart(difference.plan) - intent.recreated_nodes(before, after):
        after = intent.power_cycled(after, restart, StopMode.SHUTDOWN)
    final = await runtime.rounds.compare(after, difference.observed)
    return Preview(before, after, final, await _drift(runtime, before, difference.observed))


async def _drift(runtime: Runtime, before: ClusterRecord | None, observed: ClusterDocument) -> Plan:
    """What differs from a record that was brought about whole; nothing where it never was."""
    status = await runtime.store.status(before.cluster_name) if before else None
    if before is None or status is None or status.settled_generation != before.generation:
        return Plan()
    return (await runtime.rounds.compare(before, observed)).plan


async def agreed(runtime: Runtime, preview: Preview, approval: Approval, *, actor: str) -> ClusterRecord:
    """Write the change. Raises `ApprovalRequired` where it costs more, and what stands in its way for good."""
    require_approval(preview, approval)
    if terminal := [obstacle for obstacle in preview.plan.obstacles if obstacle.terminal]:
        raise as_error(terminal)
    generation = preview.before.generation if preview.before else 0
    record = await runtime.store.put(preview.after, expected_generation=generation, actor=actor)
    if any(fault.expires_at for fault in record.faults.values()):
        await runtime.leave_healer(record.cluster_name)
    return record


def require_approval(preview: Preview, approval: Approval) -> None:
    """Raise `ApprovalRequired` naming every action that costs more than was agreed to."""
    costs = {Disruption.RESTART: not approval.restart}
    costs |= dict.fromkeys((Disruption.RECREATE, Disruption.REMOVE, Disruption.DATA_LOSS), not approval.data_loss)
    actions = preview.plan.actions
    refused = [action for action in actions if costs.get(action.disruption, False)]
    if not refused:
        return
    loses = any(action.disruption is not Disruption.RESTART for action in refused)
    nodes = {action.node for action in refused}
    causes = [action for action in actions if isinstance(action, DefineDomain) and action.node in nodes]
    observed, recreated = preview.difference.observed, intent.recreation_causes(preview.before, preview.after)
    lines = [
        f"{of.change} {resource_address(of, observed)}: {of.reason} [{of.disruption}]"
        for of in actions
        if of in refused or of in causes
    ]
    lines += [f"{node} is recreated: {cause}" for node, cause in recreated.items() if node in nodes]
    raise ApprovalRequired(
        "the change was not made, because it costs more than was agreed to:\n  " + "\n  ".join(lines),
        hint=f"`{'allow_data_loss' if loses else 'allow_restart'}` agrees to it",
    )
