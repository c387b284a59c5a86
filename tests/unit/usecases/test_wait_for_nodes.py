"""Waiting for some nodes of a cluster."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument, NodeNotFound, OperationTimeout
from reconciler.health.node_state import NodeState
from reconciler.model.record import ClusterRecord
from reconciler.model.results import DomainState
from reconciler.model.status import ConditionStatus
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases import wait_for_condition as waiting
from reconciler.usecases.inspection import Inspection
from tests.simulation.worlds import CLUSTER, running_record

wait = waiting.wait_for_condition


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri="qemu+unix:///system?socket=/nonexistent")) as opened:
        await opened.store.put(running_record("alpha", "beta"), expected_generation=0, actor="test")
        yield opened


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The nodes whose logins were waited for; all accept them."""
    waited: list[list[str]] = []

    async def reachable(_self: Inspection, _record: ClusterRecord, nodes: list[str], **_: object) -> None:
        waited.append(nodes)

    monkeypatch.setattr(Inspection, "wait_for_ssh", reachable)
    return waited


def down(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """These nodes do not run."""

    async def not_running(_self: Inspection, _record: ClusterRecord, nodes: Iterable[str]) -> dict[str, NodeState]:
        return {node: NodeState(DomainState.SHUT_OFF) for node in nodes if node in names}

    monkeypatch.setattr(Inspection, "not_running", not_running)


@pytest.mark.parametrize("condition", ["Ready", "SSHReachable", "Provisioned"])
async def test_only_the_named_nodes_are_waited_for(
    runtime: Runtime, logins: list[list[str]], monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    async def provisioned(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(waiting, "wait_until_provisioned", provisioned)
    found = await wait(runtime, CLUSTER, condition, nodes=["beta"], timeout_s=1)
    assert logins == [["beta"]]
    assert found is not None
    assert (found.type.value, found.status, found.message) == (condition, ConditionStatus.TRUE, "beta")


async def test_nodes_run_or_are_off_whatever_the_others_are(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    down(monkeypatch, "alpha")
    runs = await wait(runtime, CLUSTER, "Running", nodes="beta", timeout_s=1)
    is_off = await wait(runtime, CLUSTER, "Running=False", nodes=["alpha"], timeout_s=1)
    assert runs is not None
    assert is_off is not None
    assert (runs.status, is_off.status) == (ConditionStatus.TRUE, ConditionStatus.FALSE)
    with pytest.raises(OperationTimeout, match=f"Running of cluster '{CLUSTER}': alpha is shut off"):
        await wait(runtime, CLUSTER, "Running", nodes=["alpha", "beta"], timeout_s=0.01)


async def test_what_nodes_cannot_have_is_refused_with_what_they_can(runtime: Runtime) -> None:
    for condition in ("Drifted", "delete"):
        with pytest.raises(InvalidArgument, match=r"theirs are Ready, SSHReachable, Provisioned, Running, Kernel"):
            await wait(runtime, CLUSTER, condition, nodes=["alpha"], timeout_s=1)
    with pytest.raises(NodeNotFound, match="gamma"):
        await wait(runtime, CLUSTER, "Running", nodes=["gamma"], timeout_s=1)
