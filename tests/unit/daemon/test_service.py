"""The service: a real store, lease and connection, simulated rounds, and events as libvirt would send them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest
from structlog.testing import capture_logs

from reconciler.controller.faults_without_store import RememberedFaults
from reconciler.controller.retries import Retries
from reconciler.controller.round import Rounds
from reconciler.controller.round_results import RoundResult
from reconciler.daemon.round_loop import OnRound
from reconciler.daemon.service import _SHORTEST_RESYNC, Scope, Service
from reconciler.host.host_events import HostEvent, HostEventKind
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection
from reconciler.model.plan import Plan, StartNetwork
from reconciler.store.host_lease import HostLease
from reconciler.store.lease import Lease
from reconciler.store.protocol import Demand
from reconciler.store.sqlite import SqliteStore
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import sample_record, with_boots
from tests.waiting import PATIENCE_S, eventually

TODO = Plan(actions=(StartNetwork(name="net", reason="is stopped"),))
Round = Callable[[str, int], RoundResult]


class SimulatedRounds:
    """Rounds without a host; by default all is as wanted. One on a cluster that is held up ends when it is let go."""

    def __init__(self, store: SqliteStore, round_: Round) -> None:
        self._store = store
        self._round = round_
        self.remembered = RememberedFaults()
        self.starts_s: dict[str, list[float]] = {}
        self.stopped = False
        self.held_up: set[str] = set()
        self.let_go = asyncio.Event()

    async def run(self, cluster: str, retries: Retries | None = None) -> RoundResult:
        assert retries is not None
        starts = self.starts_s.setdefault(cluster, [])
        starts.append(time.monotonic())
        if cluster in self.held_up:
            await self.let_go.wait()
        record = await self._store.get(cluster)
        if record is None:
            return RoundResult(gone=True)
        return self._round(cluster, len(starts))

    def stop(self) -> None:
        self.stopped = True


class Libvirtd:
    """libvirt's own test driver in place of the daemon; it can go away, and be met with a defect."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = libvirt.open
        self._handles: list[Any] = []
        self.trouble: Exception | None = None
        self.refused = 0
        monkeypatch.setattr(libvirt, "open", self._opened)

    @property
    def opened(self) -> int:
        return len(self._handles)

    def go(self, trouble: Exception) -> None:
        self.trouble = trouble
        for handle in self._handles:
            handle.close()

    def _opened(self, uri: str) -> Any:
        if self.trouble is not None:
            self.refused += 1
            raise self.trouble
        self._handles.append(self._open(uri))
        return self._handles[-1]


def calm(_cluster: str, _number: int) -> RoundResult:
    return RoundResult(1, interfaces=frozenset({"net-lab", "tap-lab"}))


class Bench:
    def __init__(self, store: SqliteStore, directory: Path, round_: Round, scope: Scope, observer: OnRound) -> None:
        self.directory = directory
        self.store = store
        self.rounds = SimulatedRounds(self.store, round_)
        self.connection = LibvirtConnection("test:///default")
        self.service = Service(
            self.store,
            cast("Rounds", self.rounds),
            Lease(directory / "controller.lock"),
            HostLease(silent_libvirt(directory), directory),
            self.connection,
            scope,
            [observer],
        )
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.service.run(self.stop))
        return self.task

    async def end(self) -> None:
        self.stop.set()
        self.rounds.let_go.set()
        if self.task is not None:
            await asyncio.wait([self.task], timeout=PATIENCE_S)
            assert self.task.done()
        await self.store.close()
        self.connection.close()

    async def rounds_of(self, cluster: str, at_least: int) -> list[float]:
        await eventually(lambda: len(self.rounds.starts_s.get(cluster, [])) >= at_least)
        return self.rounds.starts_s[cluster]


Make = Callable[..., Bench]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Bench] = []

    def build(
        round_: Round = calm,
        store: type[SqliteStore] = SqliteStore,
        observer: OnRound = lambda *_: None,
        **scope: object,
    ) -> Bench:
        made.append(Bench(store(tmp_path), tmp_path, round_, Scope(**scope), observer))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for bench in made:
        await bench.end()


@pytest.fixture
def libvirtd(monkeypatch: pytest.MonkeyPatch) -> Libvirtd:
    return Libvirtd(monkeypatch)


async def test_every_cluster_gets_a_round_and_then_only_at_each_resync(make: Make) -> None:
    bench = make(resync_s=0.2)
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    began_s = time.monotonic()
    bench.begin()
    starts = await bench.rounds_of("lab", 3)
    assert starts[2] - began_s > 2 * 0.2 * _SHORTEST_RESYNC * 0.99


async def test_a_changed_record_is_noticed_without_a_resync(make: Make) -> None:
    bench = make(resync_s=10 * PATIENCE_S)
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    other = SqliteStore(bench.directory)  # as another process would
    await other.put(with_boots(record, 1), expected_generation=record.generation, actor="test")
    await bench.rounds_of("lab", 2)
    await other.close()


async def test_a_new_cluster_is_kept_and_a_removed_one_is_forgotten(make: Make) -> None:
    bench = make()
    bench.begin()
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    await bench.rounds_of("lab", 1)
    await bench.store.remove("lab", expected_generation=record.generation, actor="test")
    await eventually(lambda: bench.service.clusters == 0)


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
    ended: list[str] = []
    bench = make(resync_s=10 * PATIENCE_S, observer=lambda cluster, *_: ended.append(cluster))
    for name in ("lab", "witness"):
        await bench.store.put(sample_record(name), expected_generation=0, actor="test")
    bench.begin()
    await eventually(lambda: "lab" in ended)  # what concerns it is known from its first round on
    before = len(await bench.rounds_of("witness", 1))
    bench.service.on_host_event(event)
    if woken:
        await bench.rounds_of("lab", 2)
        return
    bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "witness.alpha"))
    await bench.rounds_of("witness", before + 1)
    assert len(bench.rounds.starts_s["lab"]) == 1


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
    gaps = [later - earlier for earlier, later in pairwise(await bench.rounds_of("lab", 4))]
    assert all(gap > shortest for gap, shortest in zip(gaps, (0.15, 0.3, 0.6), strict=True))


async def test_a_defect_in_one_clusters_round_and_a_slow_one_delay_no_other(make: Make) -> None:
    def round_(cluster: str, number: int) -> RoundResult:
        if cluster == "broken":
            raise ZeroDivisionError
        return calm(cluster, number)

    bench = make(round_, resync_s=10 * PATIENCE_S)
    for name in ("broken", "lab", "slow"):
        await bench.store.put(sample_record(name), expected_generation=0, actor="test")
    bench.rounds.held_up.add("slow")
    bench.begin()
    await bench.rounds_of("slow", 1)
    await bench.rounds_of("broken", 2)
    before = len(await bench.rounds_of("lab", 1))
    bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "lab.alpha"))
    await bench.rounds_of("lab", before + 1)
    assert len(bench.rounds.starts_s["slow"]) == 1  # still at work


async def test_outside_its_scope_it_works_only_where_it_is_asked_to(make: Make) -> None:
    bench = make(clusters=frozenset({"other"}), resync_s=0.1)
    record = await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    await bench.store.put(sample_record("other"), expected_generation=0, actor="test")
    bench.begin()
    await bench.rounds_of("lab", 1)
    bench.service.on_host_event(HostEvent(HostEventKind.DOMAIN, "lab.alpha"))
    await bench.rounds_of("other", len(await bench.rounds_of("other", 1)) + 2)  # by two resyncs
    assert len(bench.rounds.starts_s["lab"]) == 1
    await bench.store.request_round("lab")
    await bench.rounds_of("lab", 2)
    await bench.store.put(with_boots(record, 1), expected_generation=record.generation, actor="test")
    await bench.rounds_of("lab", 3)


async def test_it_ends_after_the_round_that_is_at_work_and_gives_the_lease_back(make: Make) -> None:
    bench = make()
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    bench.rounds.held_up.add("lab")
    ended = bench.begin()
    await bench.rounds_of("lab", 1)
    bench.stop.set()
    await eventually(lambda: bench.rounds.stopped)
    assert not Lease(bench.directory / "controller.lock").try_acquire()
    assert not ended.done()
    bench.rounds.let_go.set()
    await ended
    assert Lease(bench.directory / "controller.lock").try_acquire()


async def test_a_second_service_says_who_is_at_work_and_takes_over(make: Make) -> None:
    bench = make()
    lease = Lease(bench.directory / "controller.lock", purpose="vmcluster watch")
    assert lease.try_acquire()
    with capture_logs() as logs:
        bench.begin()
        await eventually(lambda: any(entry["event"] == "waiting_for_lease" for entry in logs))
    assert any("(vmcluster watch) holds it" in entry.get("cause", "") for entry in logs)
    lease.release()
    await eventually(lambda: "(controller)" in lease.occupied())


AWAY = libvirt.libvirtError("no connection driver available")


@pytest.mark.parametrize("trouble", [AWAY, ZeroDivisionError("a defect")])
async def test_a_lost_connection_is_opened_again_once_for_all_whatever_was_met_meanwhile(
    make: Make, libvirtd: Libvirtd, trouble: Exception
) -> None:
    bench = make()
    bench.begin()
    await eventually(lambda: libvirtd.opened == 1)
    libvirtd.go(trouble)
    with capture_logs() as logs:
        for _ in range(3):
            bench.service.on_host_event(HostEvent(HostEventKind.DISCONNECTED))
        await eventually(lambda: libvirtd.refused >= 2)
        libvirtd.trouble = None
        await eventually(lambda: libvirtd.opened == 2)
    defects = [entry for entry in logs if entry["event"] == "reconnect_failed"]
    assert bool(defects) is (trouble is not AWAY)
    assert not bench.task or not bench.task.done()
    assert await bench.connection.ask(lambda handle: handle.isAlive())
    assert libvirtd.opened == 2


class DefectiveStore(SqliteStore):
    async def demands(self) -> dict[str, Demand]:
        raise ZeroDivisionError


def defective_observer(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("part", [{"store": DefectiveStore}, {"observer": defective_observer}])
async def test_a_defect_in_a_loop_of_the_service_ends_it_and_is_raised(make: Make, part: dict[str, Any]) -> None:
    bench = make(**part)
    await bench.store.put(sample_record("lab"), expected_generation=0, actor="test")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(bench.begin(), PATIENCE_S)
    assert Lease(bench.directory / "controller.lock").try_acquire()
