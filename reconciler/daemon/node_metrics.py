"""The counters of the nodes' machines as metrics, read from libvirt whenever they are fetched."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.daemon.metrics import Measure
from reconciler.errors import ClusterError
from reconciler.model.node_load import NodeCounters
from reconciler.runtime import Runtime

Counters = Mapping[tuple[str, str], NodeCounters]

_LABELS = ("cluster", "node")
_PATIENCE_S = 5.0
"""Prometheus gives up after ten seconds; the other metrics are worth more than these."""


@dataclass(frozen=True, slots=True)
class _NodeMeasure:
    """A metric, and the counter that it is."""

    measure: Measure
    counter: str


def _of(name: str, meaning: str, counter: str) -> _NodeMeasure:
    return _NodeMeasure(Measure(f"vmcluster_node_{name}", meaning, _LABELS), counter)


_OF_NODES = (
    _of("cpu_seconds_total", "Processor time of a node's machine since its start.", "cpu_time_s"),
    _of("memory_resident_bytes", "Memory of the host that it occupies.", "resident_bytes"),
    _of("disk_read_bytes_total", "Read from its disks.", "disk_read_bytes"),
    _of("disk_written_bytes_total", "Written to its disks.", "disk_written_bytes"),
    _of("disk_reads_total", "Read requests to its disks.", "disk_reads"),
    _of("disk_writes_total", "Write requests to its disks.", "disk_writes"),
    _of("network_received_bytes_total", "Received by its network card.", "received_bytes"),
    _of("network_sent_bytes_total", "Sent by its network card.", "sent_bytes"),
)

NODE_MEASURES = tuple(of.measure for of in _OF_NODES)


class NodeCollector(Collector):
    """Asks for the counters at each fetch; without an answer these metrics are absent, and the others are not."""

    def __init__(self, read: Callable[[], Counters]) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metrics of every node that libvirt tells anything of."""
        try:
            found = self._read()
        except (ClusterError, TimeoutError):
            return
        for of in _OF_NODES:
            family = _family(of.measure)
            for place, counters in found.items():
                if (value := getattr(counters, of.counter)) is not None:
                    family.add_metric(place, value)
            yield family


def reading_counters(runtime: Runtime) -> Callable[[], Counters]:
    """What reads the counters of recorded clusters, for other threads than that of the running loop."""
    loop = asyncio.get_running_loop()

    async def read() -> Counters:
        recorded = set(await runtime.store.names())
        return {place: of for place, of in (await runtime.libvirt.counters()).items() if place[0] in recorded}

    return lambda: asyncio.run_coroutine_threadsafe(read(), loop).result(_PATIENCE_S)


def _family(measure: Measure) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if measure.name.endswith("_total") else GaugeMetricFamily
    return kind(measure.name, measure.meaning, labels=measure.labels)
