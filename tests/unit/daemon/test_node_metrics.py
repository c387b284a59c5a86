"""The counters of nodes, as Prometheus would fetch them."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from reconciler.daemon.metrics import LOOPBACK, Metrics, served
from reconciler.daemon.node_metrics import NODE_MEASURES, Counters, NodeCollector, reading_counters
from reconciler.errors import LibvirtUnavailable
from reconciler.runtime import Runtime
from tests.etcd import free_ports
from tests.unit.usecases.test_node_loads import counters
from tests.waiting import PATIENCE_S


def test_every_counter_of_a_node_has_its_metric_and_one_that_is_not_told_has_none() -> None:
    registry = CollectorRegistry()
    registry.register(NodeCollector(lambda: {("lab", "a"): counters(12.5), ("lab", "b"): counters(None)}))
    assert registry.get_sample_value("vmcluster_node_cpu_seconds_total", {"cluster": "lab", "node": "a"}) == 12.5
    assert registry.get_sample_value("vmcluster_node_cpu_seconds_total", {"cluster": "lab", "node": "b"}) is None
    text = generate_latest(registry).decode()
    assert [of.name for of in NODE_MEASURES if f'{of.name}{{cluster="lab",node="a"}} ' not in text] == []


@pytest.mark.parametrize("error", [LibvirtUnavailable("away"), TimeoutError()])
def test_without_libvirt_the_metrics_of_nodes_are_absent_and_the_others_are_not(error: Exception) -> None:
    def read() -> Counters:
        raise error

    metrics = Metrics()
    metrics.registry.register(NodeCollector(read))
    metrics.registry.register(NodeCollector(dict))
    text = generate_latest(metrics.registry).decode()
    assert "vmcluster_node_cpu_seconds_total{" not in text
    assert "process_cpu_seconds_total" in text


async def test_a_fetch_reads_the_counters_of_recorded_clusters_in_the_services_own_loop(tmp_path: Path) -> None:
    async def names() -> list[str]:
        return ["lab"]

    async def read() -> Counters:
        assert asyncio.get_running_loop() is loop
        return {("lab", "a"): counters(1.0), ("somebody", "a"): counters(2.0)}

    loop = asyncio.get_running_loop()
    runtime = cast(
        "Runtime", SimpleNamespace(store=SimpleNamespace(names=names), libvirt=SimpleNamespace(counters=read))
    )
    metrics, (port,) = Metrics(), free_ports(1)
    metrics.registry.register(NodeCollector(reading_counters(runtime)))

    def fetched() -> Any:
        with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    async with served(metrics, port):
        text = await asyncio.to_thread(fetched)
    assert 'vmcluster_node_cpu_seconds_total{cluster="lab",node="a"} 1.0' in text
    assert "somebody" not in text
