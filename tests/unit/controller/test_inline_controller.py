"""Waiting for a cluster: a real store and a real lease, and simulated rounds on the host."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from reconciler.act.outcome import Outcome
from reconciler.controller.amendments import CONTROLLER
from reconciler.controller.inline_controller import Controller
from reconciler.controller.journal import OnEvent, no_observer
from reconciler.controller.round import Rounds
from reconciler.controller.round_results import PlannedChange, RoundResult
from reconciler.controller.unsettled import unsettled_nodes
from reconciler.controller.wait import SAME_FAILURES, as_error
from reconciler.error_codes import ErrorCode
from reconciler.errors import (
    ClusterError,
    ClusterNotFound,
    Conflict,
    HostOccupied,
    LibvirtUnavailable,
    OperationFailed,
    OperationTimeout,
    StoreLocked,
)
from reconciler.model.plan import Action, Plan, ShutDown, Start, Suspend
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle, RecordStatus
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore
from tests.libvirt_socket import silent_libvirt
from tests.simulation.worlds import running_record
from tests.waiting import PATIENCE_S, eventually

START = Start(node="alpha", paused=False, resume_epoch=0, reason="desired running")
ASK = ShutDown(node="alpha", reason="desired off")
DONE = Plan()
PASSING = Obstacle(code=ErrorCode.OPERATION_FAILED, message="will pass", node="alpha")
TERMINAL = Obstacle(code=ErrorCode.CONFLICT, message="not ours", node="alpha", terminal=True)

Round = Callable[[int], RoundResult]
"""What the n-th round (from 0) on the host comes to."""


def acted(*actions: Action, error: ClusterError | None = None, obstacles: tuple[Obstacle, ...] = ()) -> RoundResult:
    """A round that carried out all of its plan, or failed at all of it."""
    outcomes = tuple(Outcome(action, 0.0, error) for action in actions)
    return RoundResult(plan=Plan(actions=actions, obstacles=obstacles), outcomes=outcomes)


class SimulatedRounds:
    """Rounds without a host. Each writes a new status, as a round whose message has a time in it does."""

    def __init__(self, store: SqliteStore, round_: Round) -> None:
        self.store = store
        self.round = round_
        self.starts_s: list[float] = []
        self.at_once = 0
        self.most_at_once = 0

    async def run(self, cluster: str, _tell: OnEvent = no_observer) -> RoundResult:
        number = len(self.starts_s)
        self.starts_s.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        record = await self.store.get(cluster)
        if record is None:
            return RoundResult(gone=True)
        result = self.round(number)
        await self.store.put_status(status(cluster, record.generation, message=f"round {number}"))
        self.at_once -= 1
        return RoundResult(record.generation, result.plan, result.outcomes, result.error, result.gone)


def status(
    cluster: str,
    generation: int,
    *,
    converged: bool = False,
    request: int = 0,
    message: str = "",
    obstacle: Obstacle | None = None,
    unsettled: frozenset[str] | None = None,
) -> RecordStatus:
    obstacles = (obstacle or PASSING.model_copy(update={"message": message}),) if not converged else ()
    return RecordStatus(
        cluster_name=cluster,
        observed_generation=generation,
        converged=converged,
        round_request=request,
        obstacles=obstacles,
        unsettled=unsettled,
        updated_at=datetime.now(UTC),
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def record(store: SqliteStore) -> ClusterRecord:
    return await store.put(running_record("alpha"), expected_generation=0, actor="test")


def simulated(store: SqliteStore, tmp_path: Path, round_: Round) -> tuple[Controller, SimulatedRounds]:
    rounds = SimulatedRounds(store, round_)
    lease, host = Lease(tmp_path / "controller.lock"), HostLease(silent_libvirt(tmp_path), tmp_path)
    return Controller(store, cast("Rounds", rounds), lease, host), rounds


async def test_what_a_controller_has_to_look_after_is_looked_after_when_a_process_becomes_it(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    rounds, turns = SimulatedRounds(store, lambda _: acted()), 0
    lease, host = Lease(tmp_path / "controller.lock"), HostLease(silent_libvirt(tmp_path), tmp_path)

    def on_turn() -> None:
        nonlocal turns
        assert lease.held
        turns += 1

    controller = Controller(store, cast("Rounds", rounds), lease, host, on_turn)
    await controller.converge(record, timeout_s=PATIENCE_S)
    assert turns == 1


async def test_a_simulated_cluster_that_is_as_desired_needs_one_round(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted())
    await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == 1


async def test_simulated_rounds_that_get_on_follow_each_other_without_a_pause(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.controller.wait.LONGEST_DELAY_S", 10 * PATIENCE_S)
    monkeypatch.setattr("reconciler.controller.backoff.FIRST_DELAY_S", 10 * PATIENCE_S)
    controller, rounds = simulated(
        store, tmp_path, lambda n: acted(Suspend(node=f"n{n}", reason="")) if n < 5 else acted()
    )
    await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == 6


async def test_a_terminal_obstacle_of_a_simulated_round_ends_the_wait_at_once(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted(obstacles=(TERMINAL,)))
    with pytest.raises(ClusterError, match="not ours") as caught:
        await controller.converge(record, timeout_s=PATIENCE_S)
    assert (caught.value.code, caught.value.node, caught.value.terminal) == (ErrorCode.CONFLICT, "alpha", True)
    assert len(rounds.starts_s) == 1


async def test_the_other_simulated_nodes_are_finished_before_an_obstacle_is_answered(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    def round_(number: int) -> RoundResult:
        return (
            acted(Start(node=f"n{number}", paused=False, resume_epoch=0, reason=""), obstacles=(TERMINAL,))
            if (number < 3)
            else acted(obstacles=(TERMINAL,))
        )

    controller, rounds = simulated(store, tmp_path, round_)
    with pytest.raises(ClusterError, match="not ours"):
        await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == 4


async def test_the_same_simulated_failure_is_answered_after_a_few_ever_rarer_rounds(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.controller.backoff.FIRST_DELAY_S", 0.01)
    controller, rounds = simulated(
        store, tmp_path, lambda _: acted(START, error=OperationFailed("refused", node="alpha"))
    )
    with pytest.raises(ClusterError, match="refused"):
        await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == SAME_FAILURES
    pauses_s = [later - earlier for earlier, later in zip(rounds.starts_s, rounds.starts_s[1:], strict=False)]
    assert all(pause_s >= 0.01 * 2**n for n, pause_s in enumerate(pauses_s)), pauses_s


async def test_a_simulated_host_that_is_away_for_a_while_is_waited_for(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    away = RoundResult(error=LibvirtUnavailable("no answer"))
    controller, rounds = simulated(store, tmp_path, lambda n: away if n < 2 else acted())
    started_s = time.monotonic()
    await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == 3
    assert time.monotonic() - started_s > 0.2  # it was not asked again at once


async def test_a_store_that_another_process_has_locked_is_waited_for_within_the_callers_time(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    def locked(_: int) -> RoundResult:
        raise StoreLocked("locked by another process")

    controller, rounds = simulated(store, tmp_path, lambda n: locked(n) if n < 2 else acted())
    await controller.converge(record, timeout_s=PATIENCE_S)
    assert len(rounds.starts_s) == 3
    controller, rounds = simulated(store, tmp_path, locked)
    with pytest.raises(ClusterError, match="locked by another process") as caught:
        await controller.converge(record, timeout_s=1)
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    assert len(rounds.starts_s) > 1


async def test_a_simulated_obstacle_that_does_not_pass_is_the_answer_when_time_is_up(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted(obstacles=(PASSING,)))
    with pytest.raises(ClusterError, match="will pass"):
        await controller.converge(record, timeout_s=0.6)
    assert len(rounds.starts_s) <= 5  # looks again now and then, and is no busy loop


async def test_a_simulated_node_that_ignores_its_shutdown_is_named_when_time_is_up(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted(ASK))
    with pytest.raises(OperationTimeout, match="ShutDown alpha"):
        await controller.converge(record, timeout_s=0.6)
    assert len(rounds.starts_s) <= 5


BETA = Start(node="beta", paused=False, resume_epoch=0, reason="desired running")


@pytest.fixture
async def two(store: SqliteStore) -> ClusterRecord:
    return await store.put(running_record("alpha", "beta"), expected_generation=0, actor="test")


async def test_what_stands_in_the_way_of_a_node_does_not_end_the_wait_for_another(
    store: SqliteStore, tmp_path: Path, two: ClusterRecord
) -> None:
    """The first round acts on the other node, and that fails; the second one finds it as desired."""

    def round_(number: int) -> RoundResult:
        failed = OperationFailed("busy", node="beta")
        return acted(BETA, error=failed, obstacles=(TERMINAL,)) if number == 0 else acted(obstacles=(TERMINAL,))

    controller, rounds = simulated(store, tmp_path, round_)
    done = await controller.converge(two, timeout_s=PATIENCE_S, nodes=["beta"])
    assert len(rounds.starts_s) == 2
    assert done.look is None, "which only a cluster that is as desired has"
    for nodes in (None, ["alpha"], ["alpha", "beta"]):
        with pytest.raises(ClusterError, match="not ours"):
            await controller.converge(two, timeout_s=PATIENCE_S, nodes=nodes)


async def test_who_waits_for_a_node_waits_for_the_network_and_for_plans_that_hold_for_all_nodes_or_none(
    store: SqliteStore, tmp_path: Path, two: ClusterRecord
) -> None:
    everywhere = TERMINAL.model_copy(update={"node": None})
    for result in (
        acted(obstacles=(everywhere,)),
        RoundResult(plan=Plan(obstacles=(TERMINAL,), foreign=True)),
        RoundResult(plan=Plan(obstacles=(TERMINAL,), all_or_nothing=True)),
    ):
        controller, _ = simulated(store, tmp_path, lambda _, result=result: result)  # type: ignore[misc]
        with pytest.raises(ClusterError, match="not ours"):
            await controller.converge(two, timeout_s=PATIENCE_S, nodes=["beta"])


async def test_the_controller_elsewhere_is_waited_for_until_it_left_nothing_to_do_about_the_chosen_nodes(
    store: SqliteStore, tmp_path: Path, two: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    elsewhere = Lease(tmp_path / "controller.lock")
    assert elsewhere.try_acquire()
    waiting = asyncio.create_task(controller.converge(two, timeout_s=PATIENCE_S, nodes=["beta"]))
    said = partial(status, two.cluster_name, two.generation, request=1, obstacle=TERMINAL)
    for unsettled in (frozenset({"beta"}), frozenset({""})):
        await store.put_status(said(unsettled=unsettled))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await store.put_status(said(unsettled=frozenset({"alpha"})))
    await asyncio.wait_for(waiting, PATIENCE_S)
    await store.put_status(said(request=2, unsettled=frozenset({"alpha"})))
    began_s = time.monotonic()
    with pytest.raises(ClusterError, match="not ours"):
        await controller.converge(two, timeout_s=PATIENCE_S, nodes=["alpha"])
    assert time.monotonic() - began_s < PATIENCE_S / 2, "an obstacle for good ends the wait"


async def test_a_client_that_changes_another_node_meanwhile_is_no_conflict(
    store: SqliteStore, tmp_path: Path, two: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    other = two.nodes["alpha"].model_copy(update={"boot_epoch": 7})
    edited = two.model_copy(update={"nodes": {**two.nodes, "alpha": other}})
    await store.put(edited, expected_generation=two.generation, actor="another client")
    await controller.converge(two, timeout_s=PATIENCE_S, nodes=["beta"])
    with pytest.raises(Conflict, match="another client changed"):
        await controller.converge(two, timeout_s=PATIENCE_S, nodes=["alpha"])


def test_a_plan_that_waits_for_a_node_has_not_settled_it() -> None:
    assert unsettled_nodes(Plan(actions=(BETA,), waiting=frozenset({"alpha"}))) == frozenset({"alpha", "beta"})


async def test_a_simulated_plan_that_is_carried_out_again_and_again_is_no_busy_loop(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted(START))
    with pytest.raises(OperationTimeout, match="Start alpha"):
        await controller.converge(record, timeout_s=0.6)
    assert len(rounds.starts_s) <= 8


async def test_a_record_that_is_changed_during_a_pause_gets_its_simulated_round_at_once(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.controller.wait.LONGEST_DELAY_S", 10 * PATIENCE_S)
    monkeypatch.setattr("reconciler.controller.backoff.FIRST_DELAY_S", 10 * PATIENCE_S)
    controller, rounds = simulated(
        store, tmp_path, lambda n: RoundResult(error=LibvirtUnavailable("away")) if n < 1 else acted()
    )
    waiting = asyncio.create_task(controller.converge(record, timeout_s=20 * PATIENCE_S))
    await eventually(lambda: len(rounds.starts_s) == 1 and rounds.at_once == 0)
    edited = record.model_copy(update={"nodes": {"alpha": record.nodes["alpha"].model_copy(update={"boot_epoch": 1})}})
    await store.put(edited, expected_generation=record.generation, actor="another client")
    with pytest.raises(Conflict, match="another client changed"):
        await asyncio.wait_for(waiting, PATIENCE_S)
    assert len(rounds.starts_s) == 2


async def test_a_node_that_the_controller_leaves_off_is_no_change_by_another_client(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    left = record.nodes["alpha"].model_copy(update={"boot_epoch": 7})
    await store.put(
        record.model_copy(update={"nodes": {"alpha": left}}), expected_generation=record.generation, actor=CONTROLLER
    )
    done = await controller.converge(record, timeout_s=PATIENCE_S)
    assert done.record == record
    await store.put(record, expected_generation=record.generation + 1, actor="another client")
    await store.put(
        record.model_copy(update={"nodes": {"alpha": left}}),
        expected_generation=record.generation + 2,
        actor=CONTROLLER,
    )
    with pytest.raises(Conflict, match="another client changed"):
        await controller.converge(record, timeout_s=PATIENCE_S)


async def test_a_cluster_whose_record_went_away_is_said_to_be_gone(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted(START))
    await store.remove(record.cluster_name, expected_generation=record.generation, actor="test")
    with pytest.raises(ClusterNotFound, match="destroyed by another client"):
        await controller.converge(record, timeout_s=PATIENCE_S)


async def test_two_clusters_of_one_process_share_the_lease_and_their_simulated_rounds_run_side_by_side(
    store: SqliteStore, tmp_path: Path
) -> None:
    names = ["one", "two"]
    records = [
        await store.put(
            running_record("alpha").model_copy(update={"cluster_name": name}), expected_generation=0, actor="test"
        )
        for name in names
    ]
    controller, rounds = simulated(
        store, tmp_path, lambda n: acted(Suspend(node=f"{n}", reason="")) if n < 4 else acted()
    )
    await asyncio.gather(*(controller.converge(record, timeout_s=PATIENCE_S) for record in records))
    assert rounds.most_at_once == 2
    assert Lease(tmp_path / "controller.lock").try_acquire()  # nobody holds it


async def test_two_waits_for_one_cluster_never_run_simulated_rounds_side_by_side(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(
        store, tmp_path, lambda n: acted(Suspend(node=f"{n}", reason="")) if n < 6 else acted()
    )
    await asyncio.gather(*(controller.converge(record, timeout_s=PATIENCE_S) for _ in range(3)))
    assert rounds.most_at_once == 1


async def test_another_store_that_works_on_the_host_is_waited_for_and_named(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.controller.inline_controller._BY_MARKS_S", 0.1)
    controller, rounds = simulated(store, tmp_path, lambda _: acted())
    other = HostLease(silent_libvirt(tmp_path), Path("/other/state"), purpose="vmcluster watch")
    told = rf"process {os.getpid()} \(vmcluster watch\) of the store in /other/state"
    async with other.turn(0):
        with pytest.raises(HostOccupied, match=told):
            await controller.converge(record, timeout_s=0.1)
        with pytest.raises(HostOccupied, match=told):
            await controller.carry_out("lab", _never, timeout_s=0.1)
        with pytest.raises(HostOccupied, match=told):
            await asyncio.wait_for(controller.heal_by_marks("lab", ()), PATIENCE_S)
        waiting = asyncio.create_task(controller.converge(record, timeout_s=PATIENCE_S))
        await asyncio.sleep(0.05)
        assert rounds.starts_s == []
    await waiting
    assert len(rounds.starts_s) == 1


async def test_who_waits_for_a_controller_elsewhere_is_told_of_it_and_of_the_other_store(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    other = HostLease(silent_libvirt(tmp_path), Path("/other/state"), purpose="controller")
    told = (
        rf"process {os.getpid()} \(vmcluster watch\); process {os.getpid()} .* in /other/state is working on this host"
    )
    async with other.turn(0), Lease(tmp_path / "controller.lock", purpose="vmcluster watch"):
        with pytest.raises(OperationTimeout, match=told):
            await controller.converge(record, timeout_s=0.1)


async def _never() -> PlannedChange:
    raise AssertionError("nothing is decided while another store works")


async def test_a_wait_that_is_cancelled_gives_the_lease_back(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted(ASK))
    waiting = asyncio.create_task(controller.converge(record, timeout_s=PATIENCE_S))
    await eventually(lambda: bool(rounds.starts_s))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert Lease(tmp_path / "controller.lock").try_acquire()


HOLD_THE_LEASE = """
import sys, time
from pathlib import Path
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
lease = Lease(Path(sys.argv[1]))
assert lease.try_acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
async def other_process(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that holds the lease, as the controller of another one would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD_THE_LEASE, str(tmp_path / "controller.lock")), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_where_another_process_is_the_controller_its_status_is_waited_for(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, other_process: asyncio.subprocess.Process
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted())
    waiting = asyncio.create_task(controller.converge(record, timeout_s=PATIENCE_S))
    await store.put_status(status(record.cluster_name, record.generation - 1, converged=True))
    await asyncio.sleep(0.15)
    assert not waiting.done()  # that was the word on an older generation
    await store.put_status(status(record.cluster_name, record.generation, converged=True, request=1))
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert (rounds.starts_s, other_process.returncode) == ([], None)


@pytest.mark.usefixtures("other_process")
async def test_a_terminal_obstacle_that_another_process_met_ends_the_wait(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    await store.put_status(status(record.cluster_name, record.generation, request=1, obstacle=TERMINAL))
    with pytest.raises(ClusterError, match="not ours"):
        await controller.converge(record, timeout_s=PATIENCE_S)


@pytest.mark.usefixtures("other_process")
@pytest.mark.parametrize("word", [None, PASSING])
async def test_time_runs_out_also_where_another_process_does_not_get_on(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, word: Obstacle | None
) -> None:
    controller, _ = simulated(store, tmp_path, lambda _: acted())
    if word is not None:
        await store.put_status(status(record.cluster_name, record.generation, request=1, obstacle=word))
    with pytest.raises(ClusterError, match="will pass" if word else "another process is working"):
        await asyncio.wait_for(controller.converge(record, timeout_s=0.3), PATIENCE_S)


async def test_the_work_of_a_process_that_was_killed_is_taken_over_with_a_simulated_round(
    store: SqliteStore, tmp_path: Path, record: ClusterRecord, other_process: asyncio.subprocess.Process
) -> None:
    controller, rounds = simulated(store, tmp_path, lambda _: acted())
    waiting = asyncio.create_task(controller.converge(record, timeout_s=PATIENCE_S))
    await asyncio.sleep(0.1)
    assert rounds.starts_s == []
    other_process.kill()
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert len(rounds.starts_s) == 1


class TestOneErrorForAll:
    def test_a_single_obstacle_keeps_its_code_and_node(self) -> None:
        error = as_error([TERMINAL])
        assert (error.code, error.node, error.message) == (ErrorCode.CONFLICT, "alpha", "not ours")

    def test_several_of_one_kind_keep_their_code_and_name_their_nodes(self) -> None:
        error = as_error([TERMINAL, TERMINAL.model_copy(update={"node": "beta"})])
        assert (error.code, error.node, error.message) == (ErrorCode.CONFLICT, None, "alpha, beta: not ours")

    def test_several_kinds_are_a_partial_failure(self) -> None:
        error = as_error([TERMINAL, PASSING])
        assert (error.code, error.terminal, error.recoverable) == (ErrorCode.PARTIAL_FAILURE, True, True)
