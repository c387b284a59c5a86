"""What is said of clusters: from a look at the host, never from what was said before."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller import looks
from reconciler.controller.conditions import status_after
from reconciler.error_codes import ErrorCode
from reconciler.errors import LibvirtUnavailable, SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.model.document import ClusterDocument, Halt, HaltReason, PowerState
from reconciler.model.drift import DriftMode, DriftPolicy
from reconciler.model.plan import Plan
from reconciler.model.record import ClusterRecord, Deletion, WantedPower
from reconciler.model.results import DomainState
from reconciler.model.status import Condition, ConditionStatus, ConditionType, Obstacle
from reconciler.progress import no_progress
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.inspection import Inspection
from tests.kvm_verdict import give_kvm_verdict
from tests.simulation.worlds import CLUSTER, NOW, as_wanted, running_record
from tests.unit.plan.test_kind_planners import altered
from tests.unit.store.samples import sample_record, sample_status
from tests.unit.store.test_database import altered as altered_rows
from tests.unit.usecases.test_login import with_host_keys

FAILURE = Obstacle(code=ErrorCode.OPERATION_FAILED, message="the disk is full", node="alpha")


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    give_kvm_verdict(tmp_path)
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri="qemu+unix:///system?socket=/nonexistent")) as opened:
        yield opened


async def brought_about(runtime: Runtime, failures: tuple[Obstacle, ...] = (), **spec: Any) -> ClusterRecord:
    """A record of which everything was as wanted when a controller looked last."""
    record = running_record("alpha", "beta")
    record = record.model_copy(update={"spec": record.spec.model_copy(update=spec)})
    written = await runtime.store.put(record, expected_generation=0, actor="test")
    status = status_after(written, as_wanted(written), Plan(), failures, None, NOW)
    await runtime.store.put_status(status.model_copy(update={"settled_generation": written.generation}))
    return written


def powered(record: ClusterRecord, state: PowerState) -> ClusterDocument:
    """The host as wanted, but for the power of alpha."""
    there = as_wanted(record)
    return there.model_copy(update={"power": {**there.power, "alpha": altered(there.power["alpha"], state=state)}})


def sees(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, there: ClusterDocument) -> list[str]:
    """Have the host be seen as that; the list grows with each look for domains."""
    seen: list[str] = []

    async def find_domains(cluster: str) -> dict[str, Any]:
        seen.append(cluster)
        return {}

    async def observe(_record: object, libvirt: Any, _links: object, found: Any = None) -> ClusterDocument:
        await (found if found is not None else libvirt.find_domains(CLUSTER))
        return there

    monkeypatch.setattr(runtime.libvirt, "find_domains", find_domains)
    monkeypatch.setattr(looks, "observe_cluster", observe)
    return seen


def said(conditions: tuple[Condition, ...]) -> dict[str, str]:
    return {of.type.value: f"{of.status.value}:{of.reason}" for of in conditions}


async def test_what_is_as_desired_has_the_conditions_that_were_said_of_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await brought_about(runtime)
    seen = sees(runtime, monkeypatch, as_wanted(record))
    before = await runtime.store.status(CLUSTER)
    assert before is not None
    *conditions, _kernel, provisioned = (await Inspection(runtime).status(CLUSTER)).conditions
    assert tuple(conditions) == before.conditions
    assert (provisioned.status, provisioned.reason) == (ConditionStatus.UNKNOWN, "NotObserved")
    assert seen == [CLUSTER]


@pytest.mark.parametrize(
    ("state", "ready"), [(PowerState.CRASHED, "False:Obstructed"), (PowerState.OFF, "False:Converging")]
)
async def test_a_node_that_went_down_unwatched_is_in_the_conditions_at_once(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, state: PowerState, ready: str
) -> None:
    record = await brought_about(runtime)
    sees(runtime, monkeypatch, powered(record, state))
    status = await Inspection(runtime).status(CLUSTER)
    (summary,) = await Inspection(runtime).clusters()
    assert said(status.conditions) == {
        **said(summary.conditions),
        "KernelHealthy": "Unknown:NotObserved",
        "Provisioned": "Unknown:NotObserved",
    }
    (provisioned,) = (of for of in status.nodes[0].conditions if of.type is ConditionType.PROVISIONED)
    assert provisioned.message.startswith("is not running")
    found = said(status.conditions)
    assert (found["Running"], found["Drifted"], found["Ready"]) == ("False:NodesDown", "True:Found", ready)
    stored = await runtime.store.status(CLUSTER)
    assert stored is not None
    assert stored.conditions[-1].status is ConditionStatus.TRUE, "a look writes nothing"


def test_running_names_the_nodes_that_are_off_as_desired() -> None:
    record = running_record("alpha", "beta")
    off = record.nodes["alpha"].model_copy(update={"power": WantedPower.OFF})
    record = record.model_copy(update={"nodes": {**record.nodes, "alpha": off}})
    found = status_after(record, powered(record, PowerState.OFF), Plan(), (), None, NOW)
    running = next(of for of in found.conditions if of.type is ConditionType.RUNNING)
    assert (running.status, running.message) == (ConditionStatus.TRUE, "off, as desired: alpha")


@pytest.mark.parametrize(
    ("mode", "drifted", "ready"),
    [(DriftMode.REPORT, "True:Reported", "False:Drifted"), (DriftMode.IGNORE, "False:AsWanted", "True:AsWanted")],
)
async def test_drift_counts_as_the_clusters_policy_has_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, mode: DriftMode, drifted: str, ready: str
) -> None:
    record = await brought_about(runtime, drift=DriftPolicy(default=mode))
    sees(runtime, monkeypatch, powered(record, PowerState.OFF))
    found = said((await Inspection(runtime).status(CLUSTER)).conditions)
    assert (found["Drifted"], found["Ready"]) == (drifted, ready)


@pytest.mark.parametrize(("state", "message"), [(PowerState.OFF, FAILURE.message), (PowerState.RUNNING, None)])
async def test_why_a_round_failed_is_said_while_its_work_is_still_to_be_done(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, state: PowerState, message: str | None
) -> None:
    record = await brought_about(runtime, failures=(FAILURE,))
    sees(runtime, monkeypatch, powered(record, state))
    alpha, beta = (await Inspection(runtime).status(CLUSTER)).nodes
    assert (alpha.message, beta.message) == (message, None)


async def test_the_console_of_a_node_on_another_host_is_not_looked_for_on_this_one(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await brought_about(runtime)
    sees(runtime, monkeypatch, as_wanted(record).model_copy(update={"domains": {}}))

    async def elsewhere(_: ClusterRecord) -> dict[str, str]:
        return dict.fromkeys(record.spec.nodes, "host2")

    monkeypatch.setattr(runtime.looks.parts, "nodes_elsewhere", elsewhere)
    seen = await Inspection(runtime).status(CLUSTER)
    kernels = [of.message for node in seen.nodes for of in node.conditions if of.type is ConditionType.KERNEL_HEALTHY]
    assert kernels == ["no answer over SSH, and its console is on host2, which shows the rest"] * 2


async def test_a_node_that_qemu_stopped_is_reported_as_that_by_its_status_and_every_condition(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await brought_about(runtime)
    there = powered(record, PowerState.CRASHED)
    halt = Halt(reason=HaltReason.INTERNAL_ERROR, words="emulation failure")
    stopped = there.model_copy(update={"power": {**there.power, "alpha": altered(there.power["alpha"], halt=halt)}})
    sees(runtime, monkeypatch, stopped)
    status = await Inspection(runtime).status(CLUSTER)
    messages = {of.type: of.message for of in status.conditions}
    assert messages[ConditionType.RUNNING] == "not running: alpha (internal error)"
    for told in (status.nodes[0].message or "", messages[ConditionType.READY]):
        assert "stopped by QEMU itself: internal error; QEMU said: emulation failure" in told
        assert "paused" not in told
    assert status.nodes[0].domain_state is DomainState.CRASHED


async def test_without_libvirt_nothing_is_known_and_the_error_carries_what_can_be_said(runtime: Runtime) -> None:
    await brought_about(runtime)
    with pytest.raises(LibvirtUnavailable) as caught:
        await Inspection(runtime).status(CLUSTER)
    (summary,) = await Inspection(runtime).clusters()
    for conditions in (caught.value.partial.conditions, summary.conditions):
        assert {of.status for of in conditions if of.type is not ConditionType.UPKEEP_DONE} == {ConditionStatus.UNKNOWN}
    assert [node.domain_state.value for node in caught.value.partial.nodes] == ["unknown", "unknown"]


async def test_a_destroyed_cluster_is_not_ready(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    record = await brought_about(runtime)
    gone = record.model_copy(update={"deletion": Deletion(remove_overlays=False)})
    await runtime.store.put(gone, expected_generation=record.generation, actor="test")
    there = as_wanted(record)
    kept = ClusterDocument(layers=there.layers, seeds=there.seeds)
    sees(runtime, monkeypatch, kept)
    (summary,) = await Inspection(runtime).clusters()
    assert said(summary.conditions)["Ready"] == "False:Destroyed"


async def test_a_login_that_a_dead_node_owes_is_not_said_to_be_on_its_way(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def unreachable(address: GuestAddress, *, timeout_s: float) -> None:
        raise SshTimeout(f"no SSH login to {address}", node=address.node)

    async def find_domains(_cluster: str) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(runtime.ssh, "wait_until_reachable", unreachable)
    monkeypatch.setattr(runtime.libvirt, "find_domains", find_domains)
    with pytest.raises(SshTimeout, match="no SSH login within 3 s: alpha is not running: it has no machine"):
        await Inspection(runtime).wait_for_ssh(
            with_host_keys(sample_record(), tmp_path), ["alpha"], timeout_s=3, progress=no_progress
        )


@pytest.mark.parametrize("table", ["record", "status"])
async def test_a_cluster_that_cannot_be_read_is_listed_as_that_beside_the_others(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    sees(runtime, monkeypatch, as_wanted(await brought_about(runtime)))
    await runtime.store.put(sample_record("other"), expected_generation=0, actor="test")
    await runtime.store.put_status(sample_status("other"))
    statement = f"UPDATE {table} SET document = '{{}}' WHERE cluster_name = 'other'"
    altered_rows(runtime.settings.state_dir / "records.sqlite", statement)
    lab, other = await Inspection(runtime).clusters()
    assert (lab.cluster_name, lab.unreadable, lab.node_count) == (CLUSTER, "", 2)
    assert (other.cluster_name, other.node_count) == ("other", 0)
    assert f"{table} of cluster other cannot be read" in other.unreadable
    assert "cluster_adopt" in other.unreadable
