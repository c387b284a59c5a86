"""The service: a real store and lease, simulated rounds, and events as libvirt would send them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from reconciler.controller.retries import Retries
from reconciler.controller.round import RoundResult, Rounds
from reconciler.controller.service import Scope, Service
from reconciler.errors import OperationTimeout
from reconciler.host.events import HostEvent, HostEventKind
from reconciler.host.libvirt.connection import Connection
from reconciler.model.plan import Plan, StartNetwork
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.samples import sample_record, with_boots

TODO = Plan(actions=(StartNetwork(name="net", reason="is stopped"),))
Round = Callable[[str, int], RoundResult]


class SimulatedRounds:
    """Rounds without a host; by default all is as wanted."""

    def __init__(self, store: SqliteStore, round_: Round) -> None:
        self._store = store
        self._round = round_
        self.starts_s: dict[str, list[float]] = {}
        self.stopped = False
        self.slow: set[str] = set()

    async def run(self, cluster: str, retries: Retries | None = None) -> RoundResult:
        assert retries is not None
        starts = self.starts_s.setdefault(cluster, [])
        starts.append(time.monotonic())
        if cluster in self.slow:
            await asyncio.sleep(1.0)
        record = await self._store.get(cluster)
        if record is None:
            return RoundResult(gone=True)
        return self._round(cluster, len(starts))

    def stop(self) -> None:
        self.stopped = True


class NoLibvirt:
    async def call(self, _function: object) -> None:
        return None


def calm(_cluster: str, _number: int) -> RoundResult:
    return RoundResult(1, interfaces=frozenset({"net-lab", "tap-lab"}))


class Bench:
    def __init__(self, directory: Path, round_: Round, scope: Scope) -> None:
        self.directory = directory
        self.store = SqliteStore(directory)
        self.rounds = SimulatedRounds(self.store, round_)
        self.service = Service(
            self.store,
            cast("Rounds", self.rounds),
            Lease(directory / "controller.lock"),
            cast("Connection", NoLibvirt()),
            scope,
        )
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.task = asyncio.create_task(self.service.run(self.stop, lease_wait_s=0.2))

    async def end(self) -> None:
        self.stop.set()
        if self.task is not None:
            await asyncio.wait_for(self.task, 5)
        await self.store.close()

    async def rounds_of(self, cluster: str, at_least: int) -> list[float]:
        async with asyncio.timeout(3):
            while len(self.rounds.starts_s.get(cluster, [])) < at_least:
                await asyncio.sleep(0.005)
        return self.rounds.starts_s[cluster]


Make = Callable[..., Bench]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Bench] = []

    def build(round_: Round = calm, **scope: object) -> Bench:
        made.append(Bench(tmp_path, round_, Scope(**scope)))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for bench in made:
        await bench.end()


async def test_every_cluster_gets_a_round_and_then_only_at_each_resync(make: Make) -> None:
    bench = make(resync_s=0.4)
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    starts = await bench.rounds_of("lab", 3)
    assert 0.3 < starts[1] - starts[0] < 0.8


async def test_a_changed_record_is_noticed_within_a_tenth_of_a_second(make: Make) -> None:
    bench = make()
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    await asyncio.sleep(0.1)
    other = SqliteStore(bench.directory)  # as another process would
    await other.put(with_boots(record, 1), expected_generation=record.generation, actor="test")
    changed_s = time.monotonic()
    starts = await bench.rounds_of("lab", 2)
    await other.close()
    assert starts[1] - changed_s < 0.1


async def test_a_new_cluster_is_kept_and_a_removed_one_is_forgotten(make: Make) -> None:
    bench = make()
    bench.begin()
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    await bench.rounds_of("lab", 1)
    await bench.store.remove("lab", expected_generation=record.generation, actor="test")
    async with asyncio.timeout(2):
        while bench.service.clusters:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("event", "woken"),
    [
        (HostEvent(HostEventKind.MACHINE_ENDED, "lab.alpha"), True),
        (HostEvent(HostEventKind.DOMAIN, "other.alpha"), False),
        (HostEvent(HostEventKind.NETWORK, "net-lab"), True),
        (HostEvent(HostEventKind.INTERFACE, "tap-lab"), True),
        (HostEvent(HostEventKind.INTERFACE, "eth0"), False),
        (HostEvent(HostEventKind.FIREWALL, "lab"), True),
        (HostEvent(HostEventKind.FIREWALL, "other"), False),
        (HostEvent(HostEventKind.CONNECTED), True),
        (HostEvent(HostEventKind.MISSED), True),
    ],
)
async def test_an_event_wakes_whom_it_concerns(make: Make, event: HostEvent, woken: bool) -> None:
    bench = make()
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    await asyncio.sleep(0.1)
    before = len(bench.rounds.starts_s["lab"])
    bench.service.on_host_event(event)
    await asyncio.sleep(0.1)
    assert (len(bench.rounds.starts_s["lab"]) > before) is woken


async def test_a_storm_of_events_that_change_nothing_is_no_busy_loop(make: Make) -> None:
    bench = make()
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    until_s = time.monotonic() + 1.0
    while time.monotonic() < until_s:
        bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "lab.alpha"))
        await asyncio.sleep(0.001)
    assert len(bench.rounds.starts_s["lab"]) < 12


async def test_a_cluster_whose_rounds_never_get_on_is_tried_ever_more_rarely(make: Make) -> None:
    bench = make(lambda _cluster, _number: RoundResult(1, TODO))
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await asyncio.sleep(1.5)
    assert 2 <= len(bench.rounds.starts_s["lab"]) <= 6


async def test_a_defect_in_one_clusters_round_and_a_slow_one_delay_no_other(make: Make) -> None:
    def round_(cluster: str, number: int) -> RoundResult:
        if cluster == "broken":
            raise ZeroDivisionError
        return calm(cluster, number)

    bench = make(round_)
    for name in ("broken", "lab", "slow"):
        await bench.store.put(sample_record(name), expected_generation=0, actor="test")
    bench.rounds.slow.add("slow")
    bench.begin()
    await bench.rounds_of("slow", 1)
    await bench.rounds_of("broken", 2)
    asked_s = time.monotonic()
    before = len(bench.rounds.starts_s["lab"])
    bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "lab.alpha"))
    starts = await bench.rounds_of("lab", before + 1)
    assert starts[before] - asked_s < 0.1


async def test_outside_its_scope_it_works_only_where_it_is_asked_to(make: Make) -> None:
    bench = make(clusters=frozenset({"other"}), resync_s=0.1)
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "lab.alpha"))
    await asyncio.sleep(0.3)
    assert len(bench.rounds.starts_s["lab"]) == 1
    await bench.store.request_round("lab")
    await bench.rounds_of("lab", 2)
    await bench.store.put(with_boots(record, 1), expected_generation=record.generation, actor="test")
    await bench.rounds_of("lab", 3)


async def test_it_ends_after_the_round_that_is_at_work_and_gives_the_lease_back(make: Make) -> None:
    bench = make()
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.rounds.slow.add("lab")
    bench.begin()
    await bench.rounds_of("lab", 1)
    asked_s = time.monotonic()
    bench.stop.set()
    assert bench.task is not None
    await bench.task
    assert bench.rounds.stopped
    assert time.monotonic() - asked_s > 0.5  # the round came to its end
    assert Lease(bench.directory / "controller.lock").try_acquire()


async def test_a_second_service_says_who_is_at_work(make: Make) -> None:
    bench = make()
    lease = Lease(bench.directory / "controller.lock", purpose="vmcluster watch")
    assert lease.try_acquire()
    with pytest.raises(OperationTimeout, match="vmcluster watch"):
        await bench.service.run(bench.stop, lease_wait_s=0.1)
    lease.release()
