"""What a store in etcd costs beside one in a file: from a change to its first action, and while nothing happens."""

import asyncio
import re
import statistics
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime

import yaml

from reconciler.model.choices import StopMode
from reconciler.model.record import ClusterRecord
from reconciler.records.record_changes import started, stopped
from reconciler.records.stored_records import change_record
from tests.bench.figure import Figure, median_figure
from tests.etcd import RunningEtcd, running_etcd
from tests.integration.bed import Bed, Session, temporary_bed
from tests.integration.snapshots.films import small_nodes
from tests.integration.watch.conftest import WatchProcess, watching

CLUSTER = "changed"
NODES = 3
CHANGES = 20
IDLE_S = 60.0
CALM_S = 2.1
"""Between changes: a service that has just been woken often looks less often."""


async def measure() -> Sequence[Figure]:
    """All figures."""
    with temporary_bed() as bed:
        in_file, _ = await _measured(bed, None)
    with temporary_bed() as bed, running_etcd(bed.directory / "etcd") as etcd:
        (bed.directory / "config.yaml").write_text(yaml.safe_dump({"store": str(etcd.address)}))
        in_etcd, idle = await _measured(Bed.found_in(bed.directory), etcd)
    more_s = statistics.median(in_etcd) - statistics.median(in_file)
    return [
        median_figure("change to first action, store in etcd", in_etcd, baseline=in_file, reference="in a file"),
        Figure("the same, more than in a file", more_s * 1000, unit="ms", samples=CHANGES, limit=20.0),
        *idle,
    ]


async def _measured(bed: Bed, etcd: RunningEtcd | None) -> tuple[list[float], Sequence[Figure]]:
    bed.write_topology(CLUSTER, nodes=NODES, edit=small_nodes)
    async with bed.runtime() as runtime:
        session = Session(runtime)
        await session.clusters.define(CLUSTER)
        with watching(bed, resync_s=30.0) as service:
            times = [await _change_s(session, service, number) for number in range(CHANGES)]
            idle = [] if etcd is None else await _idle(service, etcd)
        await session.clusters.destroy(CLUSTER, remove_overlays=True)
    return times, idle


async def _change_s(session: Session, service: WatchProcess, number: int) -> float:
    """Seconds from the change of the record until the service begins the first action for it."""

    def edit(record: ClusterRecord) -> ClusterRecord:
        return stopped(record, StopMode.DESTROY) if number % 2 else started(record, paused=True)

    await asyncio.sleep(CALM_S)
    before = len(service.logged("action"))
    began_s = time.time()
    await change_record(session.runtime.store, CLUSTER, edit, actor="bench")
    while len(service.logged("action")) < before + NODES:
        await asyncio.sleep(0.01)
    begins = [
        datetime.fromisoformat(of["timestamp"]).timestamp() - float(of["duration_s"])
        for of in service.logged("action")[before:]
    ]
    return min(begin for begin in begins if begin > began_s) - began_s


async def _idle(service: WatchProcess, etcd: RunningEtcd) -> Sequence[Figure]:
    """A host on which nothing happens, with two of the looks that it takes each 30 s."""
    await asyncio.sleep(CALM_S)
    cpu_s, requests = service.cpu_s(), _requests(etcd)
    await asyncio.sleep(IDLE_S)
    share = (service.cpu_s() - cpu_s) / IDLE_S * 100
    rate = (_requests(etcd) - requests) / IDLE_S
    return [
        Figure("idle host on etcd, of one core", share, unit="%", limit=1.0),
        Figure("idle host on etcd, requests", rate, unit="/s", limit=1.0),
    ]


def _requests(etcd: RunningEtcd) -> int:
    """How many requests etcd has begun to answer."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return sum(int(float(of)) for of in re.findall(r"^grpc_server_started_total\{.*\} (\S+)$", text, re.MULTILINE))
