"""A hundred clusters of ten nodes that are defined and off: what it costs to define them, and to watch them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figure import Figure
from tests.integration.bed import Bed, Session, temporary_bed

CLUSTERS = 100
NODES = 10
AT_ONCE = 4
RESYNC_S = 10.0
RESYNCS = 3
NO_RESYNC_S = 3600.0
IDLE_S = 30.0
FIRST_ROUNDS_S = 15.0
"""After which the first round of each cluster is over."""


async def measure() -> Sequence[Figure]:
    """All figures."""
    with temporary_bed() as bed:
        async with bed.runtime() as runtime:
            session = Session(runtime)
            began_s = time.perf_counter()
            await _for_all(lambda name, place: _define(bed, session, name, place))
            defined_s = time.perf_counter() - began_s
            watched = await asyncio.to_thread(_watch, bed)
            await _for_all(lambda name, _: session.clusters.destroy(name, remove_overlays=True))
        return [Figure(f"define {CLUSTERS} clusters of {NODES} nodes", defined_s), *watched]


async def _for_all(verb: Callable[[str, int], Any]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(place: int) -> None:
        async with turns:
            await verb(f"s{place}", place)

    await asyncio.gather(*(one(place) for place in range(CLUSTERS)))


async def _define(bed: Bed, session: Session, name: str, place: int) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["network"]["subnet"] = f"10.77.{place}.0/24"
        for index, node in enumerate(document["nodes"]):
            node["ip"] = f"10.77.{place}.{10 + index}"

    bed.write_topology(name, nodes=NODES, edit=edit)
    await session.clusters.define(name)


def _watch(bed: Bed) -> list[Figure]:
    """The service's own processor time and that of its children, over some resyncs and where there are none."""
    with _service(bed, RESYNC_S) as pid:
        resync_s = _cpu_s_within(pid, RESYNCS * RESYNC_S) / RESYNCS
        memory_mib = _memory_mib(pid)
    with _service(bed, NO_RESYNC_S) as pid:
        idle_s = _cpu_s_within(pid, IDLE_S)
    return [
        Figure(f"resync of {CLUSTERS} clusters, processor time", resync_s, limit=1.0, samples=RESYNCS),
        Figure("idle service between resyncs, of one core", idle_s / IDLE_S * 100, unit="%", limit=1.0),
        Figure("idle service with a resync each 30 s, of one core", (resync_s + idle_s) / 30 * 100, unit="%"),
        Figure("memory of the service", memory_mib, unit="MiB", limit=150.0),
    ]


def _cpu_s_within(pid: int, duration_s: float) -> float:
    time.sleep(FIRST_ROUNDS_S)
    before_s = _cpu_s(pid)
    time.sleep(duration_s)
    return _cpu_s(pid) - before_s


@contextmanager
def _service(bed: Bed, resync_s: float) -> Iterator[int]:
    command = [str(Path(sys.executable).parent / "vmcluster"), "watch", "--resync", str(resync_s)]
    process = subprocess.Popen(command, env=bed.environment, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
        assert process.poll() is None, "the service has ended by itself"
    finally:
        process.kill()
        process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
