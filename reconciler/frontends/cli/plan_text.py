"""Prints plans."""

from collections.abc import Collection, Iterator

import typer

from reconciler.frontends.cli.text import one_line, printable
from reconciler.model.plan import Disruption
from reconciler.records.plan_view import ActionView, PlanView

_SYMBOLS = {"create": "+", "update": "~", "delete": "-"}
_COLORS = {"create": "green", "update": "yellow", "delete": "red"}
_SHORT_PLAN_ACTIONS = 20

Line = tuple[str, str | None]
"""A line and its colour."""


def print_plan(view: PlanView, *, short: bool = False, agreed: Collection[str] = ()) -> None:
    """Print a plan. `short` cuts a long one, but omits nothing that has a cost.

    `agreed` are the arguments by which the caller has approved its costs.
    """
    for text, color in plan_lines(view, limit=_SHORT_PLAN_ACTIONS if short else None, agreed=agreed):
        typer.secho(text, fg=color)


def show_plan(view: PlanView) -> None:
    """A plan, and its hash if there is something to do."""
    print_plan(view)
    if not view.converged:
        typer.echo(f"plan hash: {view.plan_hash}")


def plan_lines(view: PlanView, *, limit: int | None = None, agreed: Collection[str] = ()) -> Iterator[Line]:
    """The lines of a plan: what changes and why, what blocks it, what it costs, and which approval it needs."""
    yield f"cluster {one_line(view.cluster_name)}, {_origin(view)}", None
    for warning in view.warnings:
        yield f"  warning: {printable(warning)}", "yellow"
    if view.converged:
        yield "nothing to do", "green"
        return
    if view.actions:
        yield "", None
        yield from _action_lines(view, limit)
    yield from _host_lines(view)
    for path in view.kept_files:
        yield f"  = {printable(str(path))} is kept, but no node uses it; destroy --remove-overlays deletes it", None
    yield from _obstacle_lines(view)
    yield "", None
    yield summary_line(view), None
    for words, given in (("approved by", True), ("needs", False)):
        if options := [f"--{name.replace('_', '-')}" for name in view.approvals if (name in agreed) is given]:
            yield f"{words} {' and '.join(options)}", None


def summary_line(view: PlanView) -> str:
    """A plan in one line, without its actions."""
    summary = view.summary
    if not view.actions:
        if not view.record_patch:
            return "Plan: nothing can be done now"
        return f"Plan: only the record changes: {printable('; '.join(view.record_changes))}"
    parts = [
        f"Plan: {summary.create} to create, {summary.update} to change, {summary.delete} to delete",
        f"restarts: {_names(tuple(node for node in summary.restarts if node not in summary.turns_off))}",
        *([f"turns off: {_names(summary.turns_off)}"] if summary.turns_off else []),
        *([f"recreates: {_names(summary.recreates)}"] if summary.recreates else []),
        *([f"removes: {_names(summary.removes)}"] if summary.removes else []),
        f"data loss: {_names(summary.data_loss)}",
    ]
    return "; ".join(parts)


def _origin(view: PlanView) -> str:
    back = "" if view.back_to is None else f", back to generation {view.back_to}"
    return (f"generation {view.generation}" if view.generation else "new") + back


def _action_lines(view: PlanView, limit: int | None) -> Iterator[Line]:
    actions = view.actions
    shown = actions if limit is None or len(actions) <= limit else _shortened(actions, limit - 1)
    width = max((len(action.address) for action in shown), default=0)
    for action in shown:
        yield _action_line(action, width, stays_off=action.node in view.summary.turns_off), _COLORS[action.change]
    if more := len(actions) - len(shown):
        yield f"  … and {more} more without a cost (`vmcluster plan` shows them)", None


def _host_lines(view: PlanView) -> Iterator[Line]:
    """Where nodes are placed, and what that costs on hosts that this one does not see."""
    for of in view.placements:
        if not of.kept:
            yield f"  @ {one_line(of.node)} on host {one_line(of.host)}: {one_line(of.reason)}", None
    for node, loss in view.losses_elsewhere.items():
        yield f"  - {one_line(node)}: {one_line(loss)}  [{Disruption.DATA_LOSS}]", "red"
    for node, why in view.restarts_elsewhere.items():
        yield f"  ~ {one_line(node)}: {one_line(why)}  [{Disruption.RESTART}]", "yellow"


def _shortened(actions: tuple[ActionView, ...], length: int) -> tuple[ActionView, ...]:
    """The first actions, and all that have a cost."""
    costly = {number for number, action in enumerate(actions) if _has_a_price(action)}
    free = [number for number in range(len(actions)) if number not in costly]
    kept = costly.union(free[: max(0, length - len(costly))])
    return tuple(action for number, action in enumerate(actions) if number in kept)


def _has_a_price(action: ActionView) -> bool:
    return action.disruption is not Disruption.NONE or action.memory == "lost"


def _action_line(action: ActionView, width: int, *, stays_off: bool) -> str:
    cost = "power off" if stays_off and action.disruption is Disruption.RESTART else action.disruption
    mark = "" if action.disruption is Disruption.NONE else f"  [{cost}]"
    mark += "  [drift]" if action.drift else ""
    reason = f"{_verb(action.action)}: {action.reason}" if action.address.startswith("power/") else action.reason
    return f"  {_SYMBOLS[action.change]} {one_line(action.address):<{width}}  {one_line(reason)}{mark}"


def _obstacle_lines(view: PlanView) -> Iterator[Line]:
    if view.obstacles or view.waiting:
        yield "", None
    for obstacle in view.obstacles:
        where = f" {obstacle.node}" if obstacle.node else ""
        yield f"  ! [{obstacle.code}]{one_line(where)}: {printable(obstacle.message)}", "red"
    for node in view.waiting:
        yield f"  … {one_line(node)} is shutting down", None


def _verb(action: str) -> str:
    """`CutPower` as `cut power`."""
    return "".join(f" {char.lower()}" if char.isupper() else char for char in action).strip()


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(one_line, names)) or "none"
