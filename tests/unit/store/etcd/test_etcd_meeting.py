"""Hosts come as far together, and either all finish or none does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.errors import StoreUnreachable
from reconciler.store.etcd import etcd_client
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from reconciler.store.meeting import CalledOff, Meeting, Phase, SoleMeeting
from tests.etcd import RunningEtcd, running_etcd
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.processes

HOSTS = frozenset({"one", "two", "three"})


@pytest.fixture
async def stores(empty_etcd: RunningEtcd, tmp_path: Path) -> AsyncIterator[dict[str, EtcdStore]]:
    """The store as each host has it, with a lease."""
    opened = {
        name: EtcdStore(empty_etcd.address, EtcdCredentials(), host=HostIdentity(name, tmp_path / name))
        for name in sorted(HOSTS)
    }
    for store in opened.values():
        await store.membership().enter()
    yield opened
    for store in opened.values():
        await store.close()


def meetings(stores: dict[str, EtcdStore]) -> dict[str, Meeting]:
    return {name: store.meeting("lab", "snapshot-1", HOSTS) for name, store in stores.items()}


async def through(meeting: Meeting) -> str:
    """Do everything as an actor does, and say how it ended."""
    if not await meeting.begin():
        return "agreed before"
    try:
        for phase in Phase:
            await meeting.reach(phase, limit_s=PATIENCE_S)
        await meeting.agree()
    except CalledOff as error:
        return "off" if await meeting.call_off(error.message) else "agreed"
    return "done"


async def test_nobody_goes_on_before_all_have_come_as_far(stores: dict[str, EtcdStore]) -> None:
    one, two, three = meetings(stores).values()
    for meeting in (one, two, three):
        assert await meeting.begin()
    early = [asyncio.create_task(of.reach(Phase.PREPARED, limit_s=PATIENCE_S)) for of in (one, two)]
    await asyncio.sleep(0)
    assert not [task for task in early if task.done()]
    await three.reach(Phase.PREPARED, limit_s=PATIENCE_S)
    await asyncio.gather(*early)
    rest = [asyncio.create_task(_finish(of)) for of in (one, two, three)]
    await asyncio.gather(*rest)
    assert not await one.call_off("too late")
    for again in meetings(stores).values():
        assert not await again.begin(), "who comes back finishes forward"


async def _finish(meeting: Meeting) -> None:
    for phase in (Phase.PAUSED, Phase.SWITCHED):
        await meeting.reach(phase, limit_s=PATIENCE_S)
    await meeting.agree()


@pytest.mark.parametrize("last", [0, 1, 2], ids=["before anything", "when prepared", "when paused"])
async def test_one_that_fails_calls_it_off_for_all_and_the_next_attempt_may_succeed(
    stores: dict[str, EtcdStore], last: int
) -> None:
    all_of_them = meetings(stores)
    failing = all_of_them.pop("three")
    others = [asyncio.create_task(through(of)) for of in all_of_them.values()]
    assert await failing.begin()
    for phase in list(Phase)[:last]:
        await failing.reach(phase, limit_s=PATIENCE_S)
    assert await failing.call_off("the disk is full")
    assert await asyncio.gather(*others) == ["off", "off"]
    assert await asyncio.gather(*map(through, meetings(stores).values())) == ["done"] * 3


async def test_one_that_does_not_answer_or_is_gone_calls_it_off(
    stores: dict[str, EtcdStore], empty_etcd: RunningEtcd
) -> None:
    one, two = (meetings(stores)[name] for name in ("one", "two"))
    assert await one.begin()
    with pytest.raises(CalledOff, match=r"snapshot-1 was called off.*host one: host three, two did not get this far"):
        await one.reach(Phase.PREPARED, limit_s=0)
    await stores["three"].membership().close()
    client = EtcdClient(empty_etcd.address, EtcdCredentials())
    await client.change((), [delete(keys.ALIVE + b"three")])
    await client.close()
    assert await two.begin()
    with pytest.raises(CalledOff, match=r"host three is away"):
        await asyncio.gather(two.reach(Phase.PREPARED, limit_s=PATIENCE_S), through(meetings(stores)["one"]))


async def test_nobody_waits_for_longer_than_was_said_while_the_store_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PATIENCE_S", 1000 * PATIENCE_S)
    with running_etcd(tmp_path / "data") as etcd:
        async with EtcdStore(etcd.address, EtcdCredentials(), host=HostIdentity("one", tmp_path / "one")) as store:
            await store.membership().enter()
            meeting = store.meeting("lab", "snapshot-1", HOSTS)
            assert await meeting.begin()
            etcd.stop()
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(StoreUnreachable, match="snapshot-1"):
                    await meeting.reach(Phase.PAUSED, limit_s=0.5)


async def test_of_agreeing_and_calling_off_exactly_one_happens(stores: dict[str, EtcdStore]) -> None:
    for number in range(20):
        one, two, three = (store.meeting("lab", f"revert-{number}", HOSTS) for store in stores.values())
        await asyncio.gather(*(of.begin() for of in (one, two, three)))
        for phase in Phase:
            await asyncio.gather(*(of.reach(phase, limit_s=PATIENCE_S) for of in (one, two, three)))
        agreed, off = await asyncio.gather(one.agree(), two.call_off("no"), return_exceptions=True)
        assert isinstance(agreed, CalledOff) == (off is True)
        assert await three.call_off("late") is (off is True)


async def test_a_host_alone_waits_for_nobody(stores: dict[str, EtcdStore]) -> None:
    meeting = stores["one"].meeting("lab", "snapshot-1", frozenset({"one"}))
    assert isinstance(meeting, SoleMeeting)
    assert await through(meeting) == "done"
