"""Carrying out a plan: stages in order, nodes on their own, and nothing built on what failed."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.act.runner import carry_out
from reconciler.error_codes import ErrorCode
from reconciler.errors import HostFenced, OperationFailed
from reconciler.model.document import ClusterDocument, Snapshot
from reconciler.model.plan import Action, DeleteLayer, DeleteNetwork, DeleteSeed, DeleteSnapshot, Plan, PlugTap, Start
from reconciler.plan.planner import plan
from tests.simulation.acting import bare_context
from tests.simulation.worlds import as_wanted, compiled, running_record

RECORD = running_record("alpha", "beta")
BUILD = plan(compiled(RECORD), ClusterDocument())
TAKE_DOWN = plan(ClusterDocument(), as_wanted(RECORD))


def named(action: Action) -> str:
    return f"{type(action).__name__}:{action.node or ''}"


class RecordingExecutor:
    """Notes when each action begins and ends, lets the others run in between, and fails where it is told to."""

    def __init__(self, *fail: str) -> None:
        self.fail = fail
        self.events: list[str] = []

    async def __call__(self, action: Action, _context: ActContext) -> None:
        self.events.append(f"begin {named(action)}")
        await asyncio.sleep(0)
        if named(action) in self.fail:
            raise OperationFailed("refused")
        self.events.append(f"end {named(action)}")

    @property
    def begun(self) -> list[str]:
        return [event.removeprefix("begin ") for event in self.events if event.startswith("begin")]


async def run(todo: Plan, *fail: str) -> tuple[RecordingExecutor, list[Outcome]]:
    executor = RecordingExecutor(*fail)
    return executor, await carry_out(todo, bare_context(RECORD), executor)


async def test_every_action_of_a_plan_is_carried_out_once() -> None:
    executor, outcomes = await run(BUILD)
    assert sorted(executor.begun) == sorted(map(named, BUILD.actions))
    assert [outcome.error for outcome in outcomes] == [None] * len(BUILD.actions)


async def test_no_action_begins_after_the_host_has_lost_its_lease() -> None:
    executor = RecordingExecutor()

    def require_term() -> None:
        if executor.begun:
            raise HostFenced("the lease of host one may have run out")

    context = replace(bare_context(RECORD), require_term=require_term)
    outcomes = await carry_out(BUILD, context, executor)
    assert len(executor.begun) == 1
    assert [outcome.error.code for outcome in outcomes if outcome.error] == [ErrorCode.STORE_UNAVAILABLE] * (
        len(outcomes) - 1
    )


async def test_a_stage_begins_when_the_one_before_it_has_ended_on_every_node() -> None:
    executor, _ = await run(BUILD)
    last_file = max(index for index, event in enumerate(executor.events) if "WriteSeed" in event)
    assert last_file < executor.events.index("begin DefineDomain:alpha")
    assert executor.events.index("end DefineDomain:beta") < executor.events.index("begin Start:alpha")


async def test_what_the_system_refuses_one_node_is_told_of_it_and_the_others_go_on() -> None:
    async def executor(action: Action, _context: ActContext) -> None:
        if named(action) == "CreateLayer:alpha":
            raise OSError(errno.EMFILE, "Too many open files")

    outcomes = await carry_out(BUILD, bare_context(RECORD), executor)
    failed = {named(of.action): of.error for of in outcomes if of.error is not None}
    assert {name: (error.code, error.node) for name, error in failed.items()} == {
        "CreateLayer:alpha": (ErrorCode.OPERATION_FAILED, "alpha")
    }
    assert "Start:beta" in {named(of.action) for of in outcomes}


async def test_the_nodes_of_a_stage_are_worked_on_at_once() -> None:
    executor, _ = await run(BUILD)
    assert executor.events.index("begin Start:beta") < executor.events.index("end Start:alpha")


async def test_the_actions_of_one_node_follow_each_other() -> None:
    both = (Start(node="a", paused=False, resume_epoch=0, reason=""), PlugTap(node="a", tap="t", bridge="b", reason=""))
    executor, _ = await run(Plan(actions=both))
    assert executor.events == ["begin Start:a", "end Start:a", "begin PlugTap:a", "end PlugTap:a"]


async def test_what_failed_for_a_node_is_not_followed_by_its_later_actions() -> None:
    executor, outcomes = await run(BUILD, "CreateLayer:alpha")
    assert [name for name in executor.begun if name.endswith("alpha")] == ["CreateLayer:alpha"]
    assert "Start:beta" in executor.begun
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert [(str(error), error.node) for error in errors] == [("node alpha: refused", "alpha")]


async def test_nothing_is_built_on_a_network_that_failed() -> None:
    executor, outcomes = await run(BUILD, "CreateNetwork:")
    assert executor.begun == ["CreateLayer:alpha", "CreateLayer:beta", "CreateNetwork:"]
    assert len(outcomes) == 3


@pytest.mark.parametrize("failing", ["CutPower:alpha", "DeleteSeed:beta"])
async def test_a_network_stays_while_a_node_could_not_be_taken_away(failing: str) -> None:
    executor, _ = await run(TAKE_DOWN, failing)
    assert "DeleteNetwork:" not in executor.begun
    executor, _ = await run(TAKE_DOWN)
    assert executor.begun[-1] == "DeleteNetwork:"


async def test_a_snapshot_that_a_fork_came_to_hold_keeps_its_disks_and_host_keys() -> None:
    files = as_wanted(RECORD).model_copy(
        update={
            "snapshots": {"warm": Snapshot(request=1, include_memory=False)},
            "domains": {},
            "power": {},
            "taps": {},
        }
    )
    todo = plan(ClusterDocument(), files)
    executor, _ = await run(todo, "DeleteSnapshot:")
    assert {type(action) for action in todo.actions} >= {DeleteSnapshot, DeleteLayer, DeleteSeed}
    assert executor.begun == ["DeleteSnapshot:"]


async def test_each_outcome_is_told_as_it_ends_and_each_boundary_is_passed() -> None:
    boundaries: list[str] = []
    told: list[Outcome] = []
    context = bare_context(RECORD, boundaries.append, told.append)
    actions = (
        DeleteLayer(node="a", path=Path("/x"), reason=""),
        DeleteNetwork(name="net", reason=""),
    )
    outcomes = await carry_out(Plan(actions=actions), context, RecordingExecutor())
    assert told == outcomes
    assert boundaries == [
        "before DeleteLayer:a",
        "after DeleteLayer:a",
        "before DeleteNetwork:lab",
        "after DeleteNetwork:lab",
    ]


async def test_an_error_that_is_a_defect_is_not_swallowed() -> None:
    async def broken(_action: Action, _context: ActContext) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await carry_out(BUILD, bare_context(RECORD), broken)
