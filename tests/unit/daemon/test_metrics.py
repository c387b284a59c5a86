"""What is counted, as Prometheus would fetch it."""

import asyncio
import socket
from urllib.request import urlopen

import pytest

from reconciler.act.outcome import Outcome
from reconciler.controller.round_results import Look, RoundResult
from reconciler.daemon.metrics import LOOPBACK, MEASURES, Metrics, served
from reconciler.errors import ConfigurationInvalid, OperationFailed
from reconciler.model.faults import Halves
from reconciler.model.plan import Plan, Start, StartNetwork
from tests.simulation.worlds import NODES, as_wanted, running_record
from tests.unit.faults.samples import partition
from tests.unit.store.samples import sample_status
from tests.waiting import PATIENCE_S

NETWORK = StartNetwork(name="net", reason="is stopped")
START = Start(node="alpha", paused=False, resume_epoch=0, reason="is off")

RECORD = running_record("alpha", "beta").model_copy(
    update={"faults": {name: partition(Halves(), NODES[:2], name=name) for name in ("one", "two")}}
)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def repaired() -> RoundResult:
    failed = Outcome(START, duration_s=2.0, error=OperationFailed("no"))
    return RoundResult(
        1,
        Plan(actions=(NETWORK, START)),
        (Outcome(NETWORK, duration_s=0.2), failed),
        drifted=True,
        look=Look(RECORD, sample_status("lab"), as_wanted(RECORD)),
    )


def test_rounds_actions_failures_and_repairs_are_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.on_round("lab", repaired(), 2.5)
    metrics.on_round("lab", RoundResult(1), 0.01)
    assert value(metrics, "vmcluster_rounds_total", outcome="failed") == 1
    assert value(metrics, "vmcluster_rounds_total", outcome="converged") == 1
    assert value(metrics, "vmcluster_round_duration_seconds_sum") == pytest.approx(2.51)
    assert value(metrics, "vmcluster_actions_total", kind="power", action="Start") == 1
    code = OperationFailed.code.value
    assert value(metrics, "vmcluster_action_failures_total", kind="power", action="Start", code=code) == 1
    assert value(metrics, "vmcluster_action_duration_seconds_sum", kind="networks") == pytest.approx(0.2)
    assert value(metrics, "vmcluster_drift_repaired_total", kind="networks") == 1
    assert value(metrics, "vmcluster_drift_repaired_total", kind="power") is None


def test_a_cluster_shows_its_nodes_and_faults_until_it_is_gone() -> None:
    metrics = Metrics()
    metrics.on_round("lab", repaired(), 0.1)
    assert value(metrics, "vmcluster_nodes", cluster="lab", state="running") == 2
    assert value(metrics, "vmcluster_nodes", cluster="lab", state="crashed") == 0
    assert value(metrics, "vmcluster_active_faults", cluster="lab") == 2
    assert value(metrics, "vmcluster_cluster_converged", cluster="lab") == 0
    metrics.on_round("lab", RoundResult(gone=True), 0.1)
    assert value(metrics, "vmcluster_nodes", cluster="lab", state="running") is None
    assert value(metrics, "vmcluster_active_faults", cluster="lab") is None


def free_port() -> int:
    with socket.socket() as any_:
        any_.bind((LOOPBACK, 0))
        return int(any_.getsockname()[1])


def scraped(port: int) -> str:
    with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


async def test_they_are_served_while_asked_for_and_every_family_is_there() -> None:
    metrics, port = Metrics(), free_port()
    metrics.on_round("lab", repaired(), 0.1)
    async with served(metrics, port):
        text = await asyncio.to_thread(scraped, port)
    assert all(f"# HELP {of.name} {of.meaning}" in text for of in MEASURES)
    assert "process_resident_memory_bytes" in text
    with pytest.raises(OSError):  # noqa: PT011  whichever way the kernel refuses
        await asyncio.to_thread(scraped, port)


async def test_a_port_that_is_taken_is_said() -> None:
    port = free_port()
    async with served(Metrics(), port):
        with pytest.raises(ConfigurationInvalid, match=f"{LOOPBACK}:{port}"):
            async with served(Metrics(), port):
                pass
