"""`python -m tests.bench.fleet [--hosts 10,30,100]`: how a real etcd bears many hosts; `make scale` runs it.

The hosts are simulated: each has the real client of the store, its lease and its watch, and makes the requests of a
round for each of its parts of clusters, but has no machines and plans nothing. So the figures are those of etcd and of
the records; what a host itself does to its nodes does not grow with the number of hosts. Clusters have ten nodes on ten
hosts. All clients are one process, whose processor time is given beside that of etcd.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from reconciler.errors import StoreUnavailable
from reconciler.model.choices import StopMode
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.model.host import HostReport
from reconciler.model.origin import Origin
from reconciler.model.record import ClusterRecord
from reconciler.model.status import RecordStatus
from reconciler.records.record_changes import started, stopped, with_spec
from reconciler.store.etcd import etcd_client
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from reconciler.store.protocol import Demand
from tests.etcd import RunningEtcd, running_etcd
from tests.simulation.worlds import cluster_spec, node_spec
from tests.waiting import eventually

T = TypeVar("T")

CLUSTERS_PER_HOST = 10
NODES = 10
_ROUNDS_AT_ONCE = 1
_AGAIN_S = 0.5
_IDLE_S = 10.0
_LOST_S = 60.0
_MOST_MEMORY_BYTES = 4 * 2**30
"""etcd is killed above that: what its clients do not read must not take the machine's memory."""


@dataclass(slots=True)
class Traffic:
    """What the clients have asked of etcd."""

    requests: int = 0


@dataclass(slots=True)
class Scale:
    """What was measured with so many hosts."""

    hosts: int
    figures: dict[str, str] = field(default_factory=dict)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """As a service does: with all clients in one process, some are not answered in time."""
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN_S)


class FleetHost:
    """One host: a client, its lease, its demands, and the requests of its rounds."""

    def __init__(self, name: str, etcd: RunningEtcd, directory: Path) -> None:
        self.name = name
        self.store = EtcdStore(etcd.address, EtcdCredentials(), host=HostIdentity(name, directory / name))
        self.rounds = 0
        self._seen: dict[str, Demand] = {}
        self._marks: dict[str, Origin] = {}
        self._turns = asyncio.Semaphore(_ROUNDS_AT_ONCE)
        self._work: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._serving = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """As if its process was killed: its lease ends by itself."""
        if self._serving is not None:
            for task in (self._serving, *self._work):
                task.cancel()
            await asyncio.wait({self._serving, *self._work})
        await self.store.close()

    @property
    def parts(self) -> int:
        """The clusters of which it has a part."""
        return len(self._seen)

    async def look_at_all(self) -> None:
        """One look at each part."""
        for cluster in list(self._seen):
            await patiently(partial(self._round, cluster))

    async def _serve(self) -> None:
        await patiently(self._join)
        watch = self.store.watch_demands()
        while True:
            now = await patiently(watch.next)
            for cluster, demand in now.items():
                if self._seen.get(cluster) != demand:
                    self._seen[cluster] = demand
                    task = asyncio.create_task(self._round_in_turn(cluster))
                    self._work.add(task)
                    task.add_done_callback(self._work.discard)

    async def _join(self) -> None:
        await self.store.membership().enter()
        await self.store.put_host(_report(self.name))

    async def _round_in_turn(self, cluster: str) -> None:
        async with self._turns:
            await patiently(partial(self._round, cluster))
            self.rounds += 1

    async def _round(self, cluster: str) -> None:
        """The requests of a round; it acts where the record is newer than its word."""
        entry = await self.store.standing(cluster)
        if entry is None or entry.hosts is None:
            return
        await self.store.host_addresses({of.host for of in entry.record.spec.nodes.values()})
        await self.store.lineage(cluster, [of for of in [self._marks.get(cluster)] if of])
        word = entry.hosts.words.get(self.name)
        if word is not None and word.observed_generation >= entry.record.generation:
            return
        if origin := await self.store.origin(cluster, entry.record.generation):
            self._marks[cluster] = origin
        nodes = [name for name, of in entry.record.spec.nodes.items() if of.host == self.name]
        await self.store.add_events([_event(cluster, node, entry.record.generation) for node in nodes * 3])
        await self.store.put_status(_word(entry.record, self.name))
        await self.store.standing(cluster)  # the round that finds nothing more to do


class Fleet:
    """So many hosts on one etcd, which begins empty."""

    def __init__(self, count: int, etcd: RunningEtcd, directory: Path) -> None:
        self.clusters = [f"c{number}" for number in range(count * CLUSTERS_PER_HOST)]
        self._names = [f"h{number}" for number in range(count)]
        self._etcd, self._directory = etcd, directory
        self._hosts = [FleetHost(name, etcd, directory) for name in self._names]
        self._user = EtcdStore(etcd.address, EtcdCredentials())
        self._scale = Scale(count)

    async def measure(self) -> Scale:
        guard = asyncio.create_task(self._guard_memory())
        await self._start_up()
        await self._one_change()
        await self._looks()
        await self._idle()
        await self._restart()
        await self._loss()
        self._note("database", f"{self._database_mib():.0f} MiB")
        self._note("memory of etcd, at most", f"{_memory_bytes(self._etcd, 'VmHWM') / 2**20:.0f} MiB")
        guard.cancel()
        await asyncio.gather(*(host.stop() for host in self._hosts))
        await self._user.close()
        return self._scale

    async def _start_up(self) -> None:
        await asyncio.gather(*(host.start() for host in self._hosts))
        before = self._costs()
        turns = asyncio.Semaphore(8)

        async def define(place: int, cluster: str) -> None:
            async with turns:
                await self._user.put(self._record(place, cluster), expected_generation=0, actor="bench")

        await asyncio.gather(*(define(place, cluster) for place, cluster in enumerate(self.clusters)))
        await self._until_all_said(1)
        self._tell("start-up of all clusters", before)

    async def _one_change(self) -> None:
        """From the record being written to the last host's word, and what all hosts ask meanwhile."""
        took_s, before = [], self._costs()
        for cluster in self.clusters[:5]:
            record = await self._user.get(cluster)
            assert record is not None
            began_s = time.monotonic()
            after = stopped(record, StopMode.DESTROY)
            written = await self._user.put(after, expected_generation=record.generation, actor="bench")
            await eventually(lambda name=cluster, of=written: self._is_said(name, of.generation))  # type: ignore[misc]
            took_s.append(time.monotonic() - began_s)
        self._note("one change", f"{statistics.median(took_s) * 1000:.0f} ms")
        self._note("requests of one change", f"{(self._costs()[1] - before[1]) / 5:.0f}")

    async def _looks(self) -> None:
        """What hosts ask when they look at their parts, as they do twice a minute, and find nothing to do."""
        for _ in range(2):
            before = self._costs()
            await asyncio.gather(*(host.look_at_all() for host in self._hosts))
        after, parts = self._costs(), sum(host.parts for host in self._hosts)
        self._note("requests of a look at a part", f"{(after[1] - before[1]) / parts:.2f}")
        self._note("processor time of etcd for it", f"{(after[3] - before[3]) / parts * 1000:.2f} ms")

    async def _idle(self) -> None:
        before = self._costs()
        await asyncio.sleep(_IDLE_S)
        after = self._costs()
        count = len(self._hosts)
        self._note("requests of an idle host", f"{(after[1] - before[1]) / _IDLE_S / count:.2f} /s")
        self._note("processor time of etcd, idle", f"{(after[3] - before[3]) / _IDLE_S * 100:.1f} %")

    async def _restart(self) -> None:
        await asyncio.gather(*(host.stop() for host in self._hosts))
        self._hosts = [FleetHost(name, self._etcd, self._directory) for name in self._names]
        before = self._costs()
        await asyncio.gather(*(host.start() for host in self._hosts))
        parts = len(self.clusters) * min(NODES, len(self._hosts))
        await eventually(lambda: sum(host.rounds for host in self._hosts) >= parts, timeout_s=1200)
        self._tell("restart of all hosts", before)

    async def _loss(self) -> None:
        """From the end of a host's process to its nodes being unknown, of which its lease is most."""
        lost = self._hosts.pop()
        began_s = time.monotonic()
        await lost.stop()
        place = self._names.index(lost.name) % len(self.clusters)

        async def is_unknown() -> bool:
            entry = await patiently(partial(self._user.standing, self.clusters[place]))
            return entry is not None and entry.hosts is not None and lost.name in entry.hosts.lost

        await eventually(is_unknown, timeout_s=_LOST_S)
        self._note("one lost host is noticed", f"{time.monotonic() - began_s:.1f} s")

    async def _guard_memory(self) -> None:
        while self._etcd.process is not None and _memory_bytes(self._etcd, "VmRSS") < _MOST_MEMORY_BYTES:
            await asyncio.sleep(0.5)
        self._etcd.stop()
        print(f"{len(self._names)} hosts: etcd took more than {_MOST_MEMORY_BYTES >> 30} GiB, and was killed")
        os._exit(1)  # who waits for an answer would wait forever

    def _record(self, place: int, cluster: str) -> ClusterRecord:
        nodes = {}
        for number in range(NODES):
            host = self._names[(place + number) % len(self._names)]
            nodes[f"n{number}"] = node_spec(number).model_copy(update={"host": host})
        return started(with_spec(None, cluster, cluster_spec(nodes)))

    async def _is_said(self, cluster: str, generation: int) -> bool:
        status = await patiently(partial(self._user.status, cluster))
        return status is not None and status.converged and status.observed_generation >= generation

    async def _until_all_said(self, generation: int) -> None:
        for cluster in self.clusters:
            while not await self._is_said(cluster, generation):
                await asyncio.sleep(0.2)

    def _costs(self) -> tuple[float, int, float, float]:
        """Seconds, requests, and the processor time of the clients and of etcd."""
        assert self._etcd.process is not None
        return time.monotonic(), _traffic.requests, time.process_time(), _cpu_s(self._etcd.process.pid)

    def _tell(self, what: str, before: tuple[float, int, float, float]) -> None:
        took_s, requests, clients_s, etcd_s = (now - then for now, then in zip(self._costs(), before, strict=True))
        self._note(what, f"{took_s:.1f} s")
        self._note(f"{what}: requests", f"{requests:.0f}")
        self._note(f"{what}: processor time", f"{clients_s:.1f} s, etcd {etcd_s:.1f} s")

    def _note(self, what: str, value: str) -> None:
        self._scale.figures[what] = value
        print(f"{len(self._names)} hosts: {what}: {value}", flush=True)

    def _database_mib(self) -> float:
        return (self._etcd.directory / "member/snap/db").stat().st_size / 2**20


_traffic = Traffic()


def _count_requests() -> None:
    ask = etcd_client.EtcdClient._ask

    async def counted(self: etcd_client.EtcdClient, call: etcd_client.Call) -> object:
        _traffic.requests += 1
        return await ask(self, call)

    etcd_client.EtcdClient._ask = counted  # type: ignore[method-assign]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _memory_bytes(etcd: RunningEtcd, which: str) -> int:
    assert etcd.process is not None
    status = Path(f"/proc/{etcd.process.pid}/status").read_text()
    return int(status.partition(f"{which}:")[2].split()[0]) * 1024


def _report(name: str) -> HostReport:
    return HostReport(
        name=name,
        address=IPv4Address("10.0.0.1") + int(name[1:]),
        version="bench",
        vcpus=64,
        memory_mb=2**20,
        disk_bytes=2**40,
        disk_free_bytes=2**40,
        kvm_usable=True,
    )


def _event(cluster: str, node: str, generation: int) -> ClusterEvent:
    return ClusterEvent(
        cluster_name=cluster,
        at=datetime.now(UTC),
        kind=EventKind.ACTION_DONE,
        message="done in 0.10 s",
        node=node,
        subject="define-domain",
        generation=generation,
    )


def _word(record: ClusterRecord, host: str) -> RecordStatus:
    nothing = RecordStatus.of_nothing_seen(record.cluster_name, host, datetime.now(UTC))
    done = {"converged": True, "observed_generation": record.generation, "settled_generation": record.generation}
    return nothing.model_copy(update=done)


async def _measured(counts: Sequence[int]) -> list[Scale]:
    scales = []
    for count in counts:
        with tempfile.TemporaryDirectory() as top, running_etcd(Path(top, "etcd")) as etcd:
            scales.append(await Fleet(count, etcd, Path(top)).measure())
    return scales


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="10,30,100", help="how many, with commas")
    arguments = parser.parse_args()
    _count_requests()
    scales = asyncio.run(_measured([int(count) for count in arguments.hosts.split(",")]))
    table = Table(
        title=f"Hosts on one etcd, each with {CLUSTERS_PER_HOST} clusters and {CLUSTERS_PER_HOST * NODES} nodes"
    )
    for column in ("", *(f"{scale.hosts} hosts" for scale in scales)):
        table.add_column(column, justify="right" if column else "left")
    for what in scales[0].figures:
        table.add_row(what, *(scale.figures[what] for scale in scales))
    Console(width=120).print(table)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
