"""Processes that are left behind: they heal in time, one for a cluster, and go when nothing is left to do.

The host's links are simulated by rounds that always converge; store, locks and processes are real.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.controller import healers
from reconciler.controller.leavers import leaver_lock_path
from reconciler.controller.round_results import RoundResult
from reconciler.daemon import healing
from reconciler.daemon.healing import heal_in_time, heal_when_closed, leave_in_time
from reconciler.errors import HostCommandFailed
from reconciler.healer import LOG_MAX_BYTES, set_aside
from reconciler.model.faults import Halves, PartitionRequest
from reconciler.records import fault_changes
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.store.lease import SERVICE
from reconciler.store.protocol import Store
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases.network_faults import Faults
from tests.unit.store.samples import sample_record
from tests.waiting import PATIENCE_S, eventually

CLUSTER = "lab"
SPLIT = PartitionRequest(shape=Halves())


class _ConvergedRounds:
    """A host that is always as wanted."""

    async def run(self, *_: object, **__: object) -> RoundResult:
        return RoundResult(generation=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state_dir=tmp_path / "state",
        libvirt_uri="qemu+unix:///system?socket=/nonexistent",
        fault_registry=tmp_path / "f",
    )


@pytest.fixture
async def runtime(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    async with Runtime(settings) as opened:
        monkeypatch.setattr(opened.controller, "rounds", _ConvergedRounds())
        yield opened


async def wanted(store: Store, *durations_s: float | None) -> None:
    """A cluster with a fault for each duration."""
    record = sample_record(CLUSTER)
    for duration_s in durations_s:
        record, _ = fault_changes.with_fault(record, SPLIT, now=datetime.now(UTC), duration_s=duration_s, afresh=True)
    await store.put(record, expected_generation=0, actor="test")


async def faults(store: Store) -> list[str]:
    record = await store.get(CLUSTER)
    return list(record.faults) if record else []


async def holds(store: Store, expected: list[str]) -> bool:
    return await faults(store) == expected


async def test_faults_are_healed_as_their_times_come_and_others_stay(runtime: Runtime) -> None:
    await wanted(runtime.store, 0.3, None, 0.9)
    healing = asyncio.create_task(heal_in_time(runtime, CLUSTER))
    await eventually(lambda: holds(runtime.store, ["partition-2", "partition-3"]))
    assert not healing.done()
    await asyncio.wait_for(healing, PATIENCE_S)
    assert await faults(runtime.store) == ["partition-2"]
    assert not list((runtime.settings.state_dir / "healers").iterdir())


async def test_nothing_is_waited_for_where_nothing_ends(runtime: Runtime) -> None:
    await wanted(runtime.store, None)
    await asyncio.wait_for(heal_in_time(runtime, CLUSTER), PATIENCE_S)
    assert await faults(runtime.store) == ["partition-1"]


async def test_a_second_healer_leaves_at_once_and_the_first_holds_no_lease_while_it_waits(runtime: Runtime) -> None:
    await wanted(runtime.store, 3600)
    first = asyncio.create_task(heal_in_time(runtime, CLUSTER))
    await eventually(lambda: any((runtime.settings.state_dir / "healers").glob("*")))
    await asyncio.wait_for(heal_in_time(runtime, CLUSTER), PATIENCE_S)
    with (runtime.settings.state_dir / "controller.lock").open("w") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not first.done()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_fault_ends_with_the_holder_of_its_lifeline(runtime: Runtime) -> None:
    await wanted(runtime.store, None, None)
    end, lifeline = os.pipe()
    watching = asyncio.create_task(heal_when_closed(runtime, CLUSTER, "partition-1", end))
    await asyncio.sleep(0.2)
    assert len(await faults(runtime.store)) == 2
    os.close(lifeline)
    await asyncio.wait_for(watching, PATIENCE_S)
    os.close(end)
    assert await faults(runtime.store) == ["partition-2"]


async def test_a_fault_whose_holder_cannot_be_watched_is_not_left_desired(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wanted(runtime.store, None, None)
    monkeypatch.setattr(healers, "_PROGRAM", ("/no/such/program",))
    with pytest.raises(HostCommandFailed, match="/no/such/program"):
        await Faults(runtime, actor="test").inject_held(CLUSTER, SPLIT)
    assert await faults(runtime.store) == ["partition-1", "partition-2"]


async def test_a_fault_that_nobody_would_end_in_time_is_not_left_desired(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wanted(runtime.store, None)
    monkeypatch.setattr(healers, "_PROGRAM", ("/no/such/program",))
    with pytest.raises(HostCommandFailed):
        await Faults(runtime, actor="test").inject(CLUSTER, SPLIT, duration_s=60, afresh=True)
    assert await faults(runtime.store) == ["partition-1"]


async def test_a_process_that_is_left_behind_goes_on_alone_and_takes_the_fault_out_of_the_record(
    settings: Settings,
) -> None:
    async with SqliteStore(settings.state_dir) as store:
        await wanted(store, 1.0, None)
        try:
            await asyncio.to_thread(healers.start_healer, settings, CLUSTER)
            await eventually(lambda: holds(store, ["partition-2"]))
        finally:
            # libvirt is away for good here: the process is still trying; without a cluster it has nothing to do.
            record = await store.get(CLUSTER)
            assert record is not None
            await store.remove(CLUSTER, expected_generation=record.generation, actor="test")
        lock = settings.state_dir / "healers" / f"{CLUSTER}.lock"
        await asyncio.wait_for(_free(lock), PATIENCE_S)


async def test_a_leaver_leaves_each_visit_that_is_over_and_only_then_its_lock_is_gone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, left = leaver_lock_path(runtime.settings, CLUSTER), 0
    visited = iter((False, True, False, False))  # another visit begins while it leaves

    async def is_visited(*_: object) -> bool:
        return next(visited)

    async def leave(*_: object, **__: object) -> None:
        nonlocal left
        assert lock.exists()
        left += 1

    monkeypatch.setattr(healing, "_is_visited", is_visited)
    monkeypatch.setattr(healing, "VISIT_LOOK_S", 0.0)
    monkeypatch.setattr(runtime.controller, "leave_network", leave)
    await asyncio.wait_for(leave_in_time(runtime, CLUSTER), PATIENCE_S)
    assert left == 2
    assert not lock.exists()


async def test_a_leaver_hands_the_visit_to_a_service_and_leaves_word_of_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_visited(*_: object) -> bool:
        return True

    monkeypatch.setattr(healing, "_is_visited", is_visited)
    async with runtime.lease(SERVICE):
        await asyncio.wait_for(leave_in_time(runtime, CLUSTER), PATIENCE_S)
    assert leaver_lock_path(runtime.settings, CLUSTER).exists()


def test_a_long_log_is_set_aside_and_never_more_than_one(tmp_path: Path) -> None:
    log = tmp_path / "lab.log"
    set_aside(log)
    for first in (b"a", b"b"):
        log.write_bytes(first * (LOG_MAX_BYTES + 1))
        set_aside(log)
    log.write_bytes(b"c")
    set_aside(log)
    assert log.read_bytes() == b"c"
    assert (tmp_path / "lab.log.1").read_bytes().startswith(b"b")
    assert len(list(tmp_path.iterdir())) == 2


async def _free(lock: Path) -> None:
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(0.1)
            else:
                return
