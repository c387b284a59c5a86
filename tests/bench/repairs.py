"""From a libvirt event to the first action of the repair, with a service that waits for events."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from reconciler.host.host_events import HostEvent
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from tests.bench.figure import Figure, median_figure
from tests.integration.bed import LIBVIRT_URI, Bed, Session, host_libvirt, temporary_bed
from tests.integration.snapshots.films import small_nodes
from tests.integration.watch.conftest import WatchProcess, watching
from tests.waiting import wait_until

CLUSTER = "repaired"
NODES = 13
ROUNDS = 2
NO_RESYNC_S = 3600.0
CALM_S = 2.1
"""Between repairs: a service that has just been told of much looks less often."""

_DAMAGES: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("Start", lambda domain: domain.destroy()),
    ("DefineDomain", lambda domain: domain.undefine()),
)
"""By the action that repairs it."""


async def measure() -> Sequence[Figure]:
    """The times of `NODES` x `ROUNDS` x 2 repairs, each node damaged seldom enough to be repaired at once."""
    with temporary_bed() as bed:
        bed.write_topology(CLUSTER, nodes=NODES, edit=small_nodes)
        async with bed.runtime() as runtime:
            session = Session(runtime)
            await session.clusters.define(CLUSTER)
            await session.clusters.start(CLUSTER, paused=True)
            times = await _repairs(bed)
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
        slowest = statistics.quantiles(times, n=20)[-1]
        return [
            median_figure("event to first repairing action", times, limit=0.05),
            Figure("event to first repairing action, 95th percentile", slowest, samples=len(times), limit=0.05),
        ]


async def _repairs(bed: Bed) -> list[float]:
    heard: list[tuple[float, HostEvent]] = []
    ears = LibvirtConnection(LIBVIRT_URI)
    await ears.follow(lambda event: heard.append((time.time(), event)))
    try:
        return await asyncio.to_thread(_damage_one_by_one, bed, heard)
    finally:
        ears.close()


def _damage_one_by_one(bed: Bed, heard: list[tuple[float, HostEvent]]) -> list[float]:
    with watching(bed, resync_s=NO_RESYNC_S) as service, host_libvirt() as handle:
        return [
            _one_repair(handle.lookupByName(f"{CLUSTER}.n{node}"), repair, damage, service, heard)
            for _ in range(ROUNDS)
            for repair, damage in _DAMAGES
            for node in range(NODES)
        ]


def _one_repair(
    domain: Any,
    repair: str,
    damage: Callable[[Any], object],
    service: WatchProcess,
    heard: list[tuple[float, HostEvent]],
) -> float:
    """Seconds from when the bench itself got the event until the service began the repair."""
    time.sleep(CALM_S)
    heard.clear()
    before = len(service.logged("action"))
    damage(domain)
    wait_until(lambda: len(service.logged("action")) > before and bool(heard))
    first = service.logged("action")[before]
    assert (first["action"], first["node"]) == (repair, domain.name().partition(".")[2])
    began_s = datetime.fromisoformat(first["timestamp"]).timestamp() - float(first["duration_s"])
    return max(0.0, began_s - min(at_s for at_s, event in heard if event.name == domain.name()))
