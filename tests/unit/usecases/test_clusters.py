"""Applying a topology: the real controller, rounds, store and lease, and a host that is seen and not touched."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from reconciler.act.outcome import Outcome
from reconciler.controller import round as rounds
from reconciler.daemon import round_loop
from reconciler.daemon.round_loop import RoundLoop
from reconciler.error_codes import ErrorCode
from reconciler.errors import ApprovalRequired, ClusterError, Conflict, OperationTimeout
from reconciler.model.document import ClusterDocument, Halt, HaltReason, Power, PowerState
from reconciler.model.plan import CreateNetwork, Plan
from reconciler.model.record import ClusterSpec
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.model.topology import RestartPolicy
from reconciler.plan.halted_machines import NOT_RESUMABLE
from reconciler.records import record_changes
from reconciler.records.approval import Approval
from reconciler.records.plan_view import plan_view
from reconciler.records.preview import Preview
from reconciler.runtime import Runtime
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.usecases import clusters
from reconciler.usecases.clusters import Clusters
from tests.simulation.worlds import CLUSTER, as_wanted
from tests.unit.store.samples import sample_status
from tests.unit.usecases.seen_host import SPEC, SeenHost
from tests.waiting import PATIENCE_S, eventually


async def test_applying_what_holds_already_looks_once_and_plans_once(applied: Clusters, host: SeenHost) -> None:
    status = await applied.apply("lab", start=False)
    assert (host.looks, host.plans, host.done) == (1, [Plan()], [])
    assert [(node.name, node.domain_state) for node in status.nodes] == [("alpha", "shut off"), ("beta", "shut off")]
    assert (status.generation, status.observed_generation, status.network_active) == (1, 1, True)
    assert {of.type: of.status for of in status.conditions}[ConditionType.READY] is ConditionStatus.TRUE


async def test_it_does_so_too_where_another_process_is_the_controller(
    applied: Clusters, host: SeenHost, tmp_path: Path
) -> None:
    elsewhere = Lease(tmp_path / "controller.lock")
    assert elsewhere.try_acquire()
    await applied.apply("lab", start=False)
    assert (host.looks, host.plans, host.done) == (1, [Plan()], [])
    elsewhere.release()


async def test_what_the_controller_elsewhere_has_not_said_yet_is_waited_for(
    applied: Clusters, host: SeenHost, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONVERGE_TIMEOUT_S", 0.2)
    await runtime.store.put_status(sample_status(CLUSTER).model_copy(update={"converged": False}))
    elsewhere = Lease(tmp_path / "controller.lock")
    assert elsewhere.try_acquire()
    with pytest.raises(Exception, match="another process is working on it"):
        await applied.apply("lab", start=False)
    elsewhere.release()
    assert host.done == []


async def test_a_kept_cluster_says_which_other_store_works_on_the_host_and_goes_on_after_it(
    applied: Clusters, host: SeenHost, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_loop, "HOST_WAIT_S", 0.05)
    other = HostLease(runtime.settings.libvirt_uri, Path("/other/state"))
    kept = asyncio.create_task(RoundLoop(CLUSTER, runtime.rounds, runtime.host_lease(), Random(1)).run())
    await eventually(lambda: host.looks > 0)

    async def ready() -> Condition:
        status = await runtime.store.status(CLUSTER)
        assert status is not None
        return {of.type: of for of in status.conditions}[ConditionType.READY]

    async with other.turn(PATIENCE_S):
        host.forget()
        host.find = lambda: as_wanted(host.record).model_copy(update={"networks": {}})
        kept.cancel()
        kept = asyncio.create_task(RoundLoop(CLUSTER, runtime.rounds, runtime.host_lease(), Random(1)).run())
        while "of the store in /other/state" not in (said := await ready()).message:
            await asyncio.sleep(0.01)
        assert (said.status, host.looks, host.done) == (ConditionStatus.UNKNOWN, 0, [])
    while (await ready()).status is not ConditionStatus.TRUE:
        await asyncio.sleep(0.01)
    assert len(host.done) == 1
    kept.cancel()


async def test_what_is_shown_is_what_is_done_and_the_host_is_not_looked_at_in_between(
    applied: Clusters, host: SeenHost
) -> None:
    host.find = lambda: as_wanted(host.record).model_copy(update={"networks": {}})
    shown: list[Preview] = []
    looks: list[int] = []

    def show(preview: Preview) -> None:
        shown.append(preview)
        looks.append(host.looks)
        host.find = ClusterDocument  # nothing of it is observed

    await applied.apply("lab", start=False, shown=show)
    assert host.done[0] == shown[0].plan
    assert [type(action) for action in host.done[0].actions if action.node is None] == [CreateNetwork]
    assert (looks, len(host.done)) == ([1], 1)


def sick(host: SeenHost, **halts: Halt) -> ClusterDocument:
    """All as wanted and running, but the network is gone and these nodes stand still."""
    wanted = as_wanted(record_changes.started(host.record))
    still = {
        node: Power(state=PowerState.CRASHED if of.reason in NOT_RESUMABLE else PowerState.PAUSED, halt=of)
        for node, of in halts.items()
    }
    return wanted.model_copy(update={"networks": {}, "power": {**wanted.power, **still}})


PAUSED, STOPPED = Halt(reason=HaltReason.USER), Halt(reason=HaltReason.INTERNAL_ERROR, words="emulation failure")


async def test_a_plan_shows_the_whole_way_back_of_sick_nodes_and_apply_goes_it(
    applied: Clusters, host: SeenHost, runtime: Runtime
) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    host.forget()
    host.find = lambda: sick(host, alpha=PAUSED, beta=STOPPED)
    preview = await applied.plan("lab")
    shown = plan_view(preview)
    assert host.looks == 1
    assert {(of.address, of.action): (of.disruption.value, of.memory) for of in shown.actions} == {
        ("network/net-lab", "CreateNetwork"): ("none", None),
        ("power/alpha", "Resume"): ("none", "kept"),
        ("power/beta", "CutPower"): ("restart", "lost"),
        ("power/beta", "Start"): ("none", None),
    }
    reasons = {of.action: of.reason for of in shown.actions}
    assert reasons["Resume"] == "is paused; it resumes, its memory is kept"
    assert "QEMU said: emulation failure; it boots, its memory is lost" in reasons["CutPower"]
    assert (shown.blocked, shown.obstacles, shown.approvals) == (False, (), ("allow_restart",))
    before = await runtime.store.get(CLUSTER)
    with pytest.raises(ApprovalRequired, match="its memory is lost"):
        await applied.apply("lab", wait_for_ssh=False)
    assert (host.done, await runtime.store.get(CLUSTER)) == ([], before)
    await applied.apply("lab", wait_for_ssh=False, approval=Approval(restart=True, plan_hash=preview.hash))
    assert host.done[0] == preview.plan
    assert (await applied.plan("lab")).plan.converged


async def test_what_runs_on_with_its_memory_needs_no_agreement(applied: Clusters, host: SeenHost) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    host.find = lambda: sick(host, alpha=PAUSED)
    await applied.apply("lab", wait_for_ssh=False)
    assert "Resume" in [type(action).__name__ for action in host.done[-1].actions]


async def test_a_node_that_stands_still_stays_so_where_no_start_was_asked_for(
    applied: Clusters, host: SeenHost
) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    host.find = lambda: sick(host, alpha=PAUSED)
    shown = plan_view(await applied.plan("lab", start=False))
    assert [of.node for of in shown.obstacles] == ["alpha"]
    assert "Resume" not in [of.action for of in shown.actions]


async def test_a_node_that_stands_still_takes_up_a_change_of_its_definition(
    applied: Clusters, host: SeenHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied.apply("lab", wait_for_ssh=False)
    changed = SPEC.nodes["alpha"].model_copy(update={"memory_mb": 1024})

    async def load(*_: object) -> tuple[str, ClusterSpec]:
        return CLUSTER, SPEC.model_copy(update={"nodes": {**SPEC.nodes, "alpha": changed}})

    monkeypatch.setattr(clusters, "load_for_host", load)
    for halt in (PAUSED, STOPPED):
        host.find = lambda halt=halt: sick(host, alpha=halt)  # type: ignore[misc]
        shown = [of.action for of in plan_view(await applied.plan("lab")).actions if of.node == "alpha"]
        assert shown == ["CutPower", "DefineDomain", "Start"]


def fresh_disk(monkeypatch: pytest.MonkeyPatch, node: str = "alpha") -> None:
    """From now on the topology wants a node that booted otherwise: on a new root disk."""
    other = SPEC.nodes[node].model_copy(update={"user_data": {"packages": ["fio"]}})

    async def load(*_: object) -> tuple[str, ClusterSpec]:
        return CLUSTER, SPEC.model_copy(update={"nodes": {**SPEC.nodes, node: other}})

    monkeypatch.setattr(clusters, "load_for_host", load)


def concerned(plan: Plan) -> set[str | None]:
    return {action.node for action in plan.actions}


async def test_what_was_agreed_to_is_not_done_once_something_else_is_desired(
    applied: Clusters, host: SeenHost, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONVERGE_TIMEOUT_S", 0.1)
    fresh_disk(monkeypatch)
    async with Lease(tmp_path / "controller.lock"):  # who holds it carries nothing out
        with pytest.raises(OperationTimeout):
            await applied.apply("lab", start=False, approval=Approval(data_loss=True))
        with pytest.raises(OperationTimeout):
            await applied.start(CLUSTER, nodes="beta", wait_for_ssh=False)
    for _ in range(2):
        result = await runtime.rounds.run(CLUSTER)
        assert "alpha" not in concerned(result.plan)
    assert all("alpha" not in concerned(plan) for plan in host.done)
    (obstacle,) = result.plan.obstacles
    assert (obstacle.code, obstacle.node, obstacle.terminal) == (ErrorCode.APPROVAL_REQUIRED, "alpha", True)
    assert "alpha.vda.r0.0.qcow2" in obstacle.message
    assert "`cluster_apply(allow_data_loss=true)` approves it" in obstacle.message
    status = await runtime.store.status(CLUSTER)
    assert status is not None
    ready = {of.type: of for of in status.conditions}[ConditionType.READY]
    assert (ready.status, ready.reason) == (ConditionStatus.FALSE, "ApprovalRequired")
    with pytest.raises(ApprovalRequired):
        await applied.apply("lab", start=False)
    await applied.apply("lab", start=False, approval=Approval(data_loss=True))
    assert "DeleteLayer" in [type(action).__name__ for action in host.done[-1].actions if action.node == "alpha"]


async def test_what_was_agreed_to_is_done_by_whichever_round_gets_to_it(
    applied: Clusters, host: SeenHost, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONVERGE_TIMEOUT_S", 0.1)
    fresh_disk(monkeypatch)
    async with Lease(tmp_path / "controller.lock"):
        with pytest.raises(OperationTimeout):
            await applied.apply("lab", start=False, approval=Approval(data_loss=True))
        with pytest.raises(ApprovalRequired):
            await applied.apply("lab", start=False)  # which takes nothing back, as it was not made
    assert (await runtime.rounds.run(CLUSTER)).plan.obstacles == ()
    assert "alpha" in concerned(host.done[-1])


async def test_destroying_agrees_to_what_it_says(applied: Clusters, host: SeenHost) -> None:
    def done() -> set[str]:
        return {type(action).__name__ for plan in host.done for action in plan.actions}

    host.find = lambda: as_wanted(record_changes.started(host.record))
    await applied.destroy(CLUSTER)
    assert done() & {"CutPower", "UndefineDomain", "DeleteLayer"} == {"CutPower", "UndefineDomain"}
    kept = as_wanted(host.record).model_copy(update={"domains": {}, "power": {}, "networks": {}})
    host.find = lambda: kept
    await applied.destroy(CLUSTER, remove_overlays=True)
    assert "DeleteLayer" in done()


async def test_a_plan_is_done_by_its_hash_and_by_no_other(applied: Clusters, host: SeenHost, runtime: Runtime) -> None:
    host.find = lambda: as_wanted(host.record).model_copy(update={"networks": {}})
    before = await runtime.store.get(CLUSTER)
    name = (await applied.plan("lab", start=False)).hash
    assert (await applied.plan("lab", start=False)).hash == name
    for other in ("", "0" * 16, name.upper() + "x"):
        with pytest.raises(Conflict, match="nothing was done"):
            await applied.apply("lab", start=False, approval=Approval(plan_hash=other))
    with pytest.raises(Conflict, match="nothing was done"):
        await applied.apply("lab", start=True, approval=Approval(plan_hash=name))
    assert (host.done, await runtime.store.get(CLUSTER)) == ([], before)
    await applied.apply("lab", start=False, approval=Approval(plan_hash=name))
    assert len(host.done) == 1


async def test_a_plan_whose_host_or_record_has_changed_since_is_a_conflict(
    applied: Clusters, host: SeenHost, runtime: Runtime
) -> None:
    name = (await applied.plan("lab", start=False)).hash
    wanted = host.find
    host.find = lambda: wanted().model_copy(update={"seeds": {}})
    with pytest.raises(Conflict):
        await applied.apply("lab", start=False, approval=Approval(plan_hash=name))
    host.find = wanted
    record = await runtime.store.get(CLUSTER)
    assert record is not None
    changed = record.model_copy(update={"snapshot_requests": 1})
    await runtime.store.put(changed, expected_generation=1, actor="another client")
    with pytest.raises(Conflict):
        await applied.apply("lab", start=False, approval=Approval(plan_hash=name))
    assert host.done == []


async def test_a_client_that_writes_between_showing_and_doing_wins(
    applied: Clusters, host: SeenHost, runtime: Runtime
) -> None:
    host.find = lambda: as_wanted(host.record).model_copy(update={"networks": {}})
    record = await runtime.store.get(CLUSTER)
    assert record is not None
    changed = record.model_copy(update={"snapshot_requests": 1})

    async def write() -> None:
        async with Runtime(runtime.settings) as other:
            await other.store.put(changed, expected_generation=1, actor="another client")

    def meanwhile(_: Preview) -> None:
        with ThreadPoolExecutor() as another_client:
            another_client.submit(asyncio.run, write()).result()

    with pytest.raises(Conflict, match="another client was first"):
        await applied.apply("lab", start=True, wait_for_ssh=False, shown=meanwhile)
    assert host.done == []


async def test_a_round_that_ends_by_a_defect_says_so_too(
    applied: Clusters, host: SeenHost, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(*_: object) -> list[Outcome]:
        raise ZeroDivisionError

    monkeypatch.setattr(rounds, "carry_out", defective)
    host.find = ClusterDocument
    with pytest.raises(ZeroDivisionError):
        await runtime.rounds.run(CLUSTER)
    status = await runtime.store.status(CLUSTER)
    assert status is not None
    assert ([of.code for of in status.obstacles], status.converged) == ([ErrorCode.INTERNAL_ERROR], False)


async def test_a_node_that_stays_off_is_noted_without_a_second_look(
    applied: Clusters, host: SeenHost, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = {name: of.model_copy(update={"restart": RestartPolicy.NEVER}) for name, of in SPEC.nodes.items()}

    async def load(*_: object) -> tuple[str, ClusterSpec]:
        return CLUSTER, SPEC.model_copy(update={"nodes": off})

    monkeypatch.setattr(clusters, "load_for_host", load)
    await applied.apply("lab", wait_for_ssh=False)
    running = host.find()
    halt = Halt(reason=HaltReason.SHUT_DOWN)
    ended = running.power["alpha"].model_copy(update={"state": PowerState.OFF, "halt": halt})
    host.find = lambda: running.model_copy(update={"power": {**running.power, "alpha": ended}})
    host.forget()
    result = await runtime.rounds.run(CLUSTER)
    assert (host.looks, result.outcomes, result.generation) == (1, (), 3)


async def test_an_error_of_one_node_carries_what_became_of_the_others(
    applied: Clusters, host: SeenHost, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_domains(_: str) -> dict[str, object]:
        return {}

    monkeypatch.setattr(runtime.libvirt, "find_domains", find_domains)
    await applied.apply("lab", wait_for_ssh=False)
    networks = as_wanted(host.record).networks
    host.find = lambda: sick(host, beta=STOPPED).model_copy(update={"networks": networks})
    with pytest.raises(ClusterError) as raised:
        await applied.start("lab", wait_for_ssh=False)
    assert raised.value.code is ErrorCode.GUEST_CRASHED
    assert {of.name: of.domain_state for of in raised.value.partial.nodes} == {"alpha": "running", "beta": "crashed"}
