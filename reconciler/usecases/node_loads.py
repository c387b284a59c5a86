"""What nodes use of this host, as rates between two looks."""

import asyncio
import time
from collections.abc import Mapping

from reconciler.health.node_state import DOMAIN_STATES
from reconciler.model.node_load import NodeCounters, NodeLoad
from reconciler.model.record import ClusterRecord
from reconciler.model.results import DomainState
from reconciler.records.stored_records import existing, readable_records
from reconciler.runtime import Runtime

Counters = Mapping[tuple[str, str], NodeCounters]


class LoadMeter:
    """Looks at the nodes of a cluster, or of all clusters, again and again."""

    def __init__(self, runtime: Runtime, cluster: str | None = None) -> None:
        self._runtime = runtime
        self._cluster = cluster
        self._before: Counters = {}
        self._before_s = 0.0

    async def look(self) -> list[NodeLoad]:
        """Every node, with the rates since the look before; the first look has none.

        Raises `ClusterNotFound` and `LibvirtUnavailable`.
        """
        records = await self._records()
        found, now_s = await self._runtime.libvirt.counters(), time.monotonic()
        interval_s = now_s - self._before_s if self._before else None
        loads = [
            load_of(record.cluster_name, node, found, self._before, interval_s)
            for record in records
            for node in record.spec.nodes
        ]
        self._before, self._before_s = found, now_s
        return loads

    async def look_twice(self, interval_s: float) -> list[NodeLoad]:
        """One look with rates, taken over this time."""
        await self.look()
        await asyncio.sleep(interval_s)
        return await self.look()

    async def _records(self) -> list[ClusterRecord]:
        if self._cluster is not None:
            return [await existing(self._runtime.store, self._cluster)]
        return [record for record in await readable_records(self._runtime.store) if record.deletion is None]


def load_of(cluster: str, node: str, found: Counters, before: Counters, interval_s: float | None) -> NodeLoad:
    """What one node uses; a machine that was started between the two looks has no rates."""
    now, then = found.get((cluster, node)), before.get((cluster, node))
    if now is None:
        return NodeLoad(cluster_name=cluster, node_name=node, domain_state=DomainState.UNKNOWN)

    def rate(counter: str) -> float | None:
        ends = (getattr(now, counter), getattr(then, counter, None))
        if None in ends or interval_s is None or ends[0] < ends[1]:
            return None
        return float(ends[0] - ends[1]) / interval_s

    cpus = rate("cpu_time_s")
    return NodeLoad(
        cluster_name=cluster,
        node_name=node,
        domain_state=DOMAIN_STATES[now.power],
        interval_s=interval_s,
        vcpus=now.vcpus,
        cpu_pct=None if cpus is None else 100 * cpus,
        memory_bytes=now.memory_bytes,
        resident_bytes=now.resident_bytes,
        disk_read_bytes_per_s=rate("disk_read_bytes"),
        disk_written_bytes_per_s=rate("disk_written_bytes"),
        disk_reads_per_s=rate("disk_reads"),
        disk_writes_per_s=rate("disk_writes"),
        received_bytes_per_s=rate("received_bytes"),
        sent_bytes_per_s=rate("sent_bytes"),
    )
