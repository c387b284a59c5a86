"""Carries out a plan: one stage at a time, all nodes of a stage in parallel, failures confined to their node."""

import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog

from reconciler.act.context import ActContext
from reconciler.act.execute import execute
from reconciler.act.outcome import Outcome
from reconciler.concurrency import together
from reconciler.errors import ClusterError, error_to_answer
from reconciler.model.action_names import ACTION_ENDED, action_name
from reconciler.model.links import touched_nodes
from reconciler.model.plan import Action, DeleteNetwork, HealLinks, Plan, SetLinks
from reconciler.model.stage import Stage
from reconciler.store.meeting import PREPARED_S, Phase

log = structlog.get_logger(__name__)

CLUSTER_WIDE = None
"""The group of actions that belong to no node; if one fails, nothing is built on it."""


Executor = Callable[[Action, ActContext], Awaitable[None]]
"""What an action does to a host; raises a `ClusterError` if the host refuses."""


async def carry_out(plan: Plan, context: ActContext, executor: Executor = execute) -> list[Outcome]:
    """Carry out every stage in order. After a failure on a node its later actions are skipped.

    A process that is told to stop does so between two actions; only actions that were carried out have outcomes.
    """
    outcomes: list[Outcome] = []
    failed: set[str | None] = set()
    together_from = next((of for of in plan.stages() if of[0].stage > Stage.PREPARE), None)
    for stage in plan.stages():
        if context.stopping():
            break
        if plan.all_or_nothing and stage is together_from and (outcome := await _not_together(stage[0], context)):
            return [*outcomes, outcome]
        groups = [group for group in _by_node(stage) if not _held_back(group, failed)]
        results = await together(*(_carry_out_in_turn(group, context, executor) for group in groups))
        finished = [outcome for result in results for outcome in result]
        failed |= {node for outcome in finished if outcome.error is not None for node in _concerned(outcome.action)}
        outcomes += finished
        if plan.all_or_nothing and failed and stage[0].stage is Stage.PREPARE:
            break
    return outcomes


async def _not_together(first: Action, context: ActContext) -> Outcome | None:
    """Begin a revert together with the other hosts of the cluster; what happened if one of them cannot."""
    if context.revert is None:
        return None
    meeting = context.meeting(context.revert)
    try:
        if await meeting.begin():
            await meeting.reach(Phase.PREPARED, limit_s=PREPARED_S)
            await meeting.agree()
        context.require_term()
    except ClusterError as error:
        outcome = Outcome(first, 0.0, error)
        context.on_outcome(outcome)
        return outcome
    return None


def _concerned(action: Action) -> frozenset[str | None]:
    """Whose later actions are skipped if this one fails: no node may run without its links."""
    match action:
        case SetLinks():
            return frozenset({*action.changes, *touched_nodes(action.links)})
        case HealLinks():  # its failure holds up nothing else; the next round heals again
            return frozenset()
        case _:
            return frozenset({action.node})


def _by_node(actions: tuple[Action, ...]) -> list[list[Action]]:
    groups: defaultdict[str | None, list[Action]] = defaultdict(list)
    for action in actions:
        groups[action.node].append(action)
    return list(groups.values())


def _held_back(group: list[Action], failed: set[str | None]) -> bool:
    last_one_out = isinstance(group[0], DeleteNetwork)  # a node that still exists is still plugged in
    return CLUSTER_WIDE in failed or group[0].node in failed or (last_one_out and bool(failed))


async def _carry_out_in_turn(group: list[Action], context: ActContext, executor: Executor) -> list[Outcome]:
    outcomes = []
    for action in group:
        if context.stopping():
            break
        outcomes.append(await _carry_out_one(action, context, executor))
        if outcomes[-1].error is not None:
            break
    return outcomes


async def _carry_out_one(action: Action, context: ActContext, executor: Executor) -> Outcome:
    name = f"{type(action).__name__}:{action.node or context.cluster}"
    context.checkpoint(f"before {name}")
    started = time.monotonic()
    error = None
    try:
        context.require_term()
        await executor(action, context)
    except (ClusterError, OSError) as caught:
        error = error_to_answer(caught)
        error.node = error.node or action.node
    duration_s = time.monotonic() - started
    _log_outcome(action, context, duration_s, error)
    context.checkpoint(f"after {name}")
    outcome = Outcome(action, duration_s, error)
    context.on_outcome(outcome)
    return outcome


def _log_outcome(action: Action, context: ActContext, duration_s: float, error: ClusterError | None) -> None:
    level = logging.INFO if error is None else logging.WARNING
    log.log(
        level,
        ACTION_ENDED,
        cluster=context.cluster,
        node=action.node,
        action=action_name(action),
        reason=action.reason,
        duration_s=round(duration_s, 4),
        outcome="done" if error is None else "failed",
        **({} if error is None else {"code": error.code.value, "cause": str(error)}),
    )
