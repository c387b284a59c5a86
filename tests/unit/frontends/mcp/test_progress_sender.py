"""Progress reaches the client whole and in order, and silence is broken."""

import asyncio

import pytest

from reconciler.frontends.mcp.progress_sender import sending_progress
from tests.waiting import PATIENCE_S, eventually


class Wire:
    """A client that takes its time."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.free = asyncio.Event()
        self.free.set()
        self.sent: list[tuple[float, str]] = []

    async def send(self, step: float, total: float | None, message: str) -> None:
        assert total is None
        await asyncio.sleep(self.delay_s)
        await self.free.wait()
        self.sent.append((step, message))


async def test_what_is_reported_arrives_in_order_before_the_answer_though_the_client_is_slow() -> None:
    wire = Wire(delay_s=0.001)
    async with sending_progress(wire.send) as report:
        for number in range(50):
            report(str(number))
    assert wire.sent == [(number + 1.0, str(number)) for number in range(50)]


async def test_a_slow_client_does_not_hold_up_who_reports() -> None:
    wire = Wire()
    wire.free.clear()
    async with sending_progress(wire.send) as report:
        report("one")
        await asyncio.sleep(0)
        report("two")
        assert wire.sent == []
        wire.free.set()


async def test_each_silence_is_broken_by_a_heartbeat() -> None:
    wire = Wire()
    async with sending_progress(wire.send, heartbeat_s=0.02) as report:
        took_s = await eventually(lambda: len(wire.sent) >= 2)
        report("done")
    *heartbeats, last = wire.sent
    assert took_s > 2 * 0.02 * 0.9
    assert all("still working" in words for _, words in heartbeats)
    assert last == (len(heartbeats) + 1.0, "done")


async def test_an_error_of_the_work_passes_after_what_was_reported() -> None:
    wire = Wire()

    async def call() -> None:
        async with sending_progress(wire.send) as report:
            report("before")
            raise LookupError

    with pytest.raises(LookupError):
        await call()
    assert wire.sent == [(1.0, "before")]


async def test_nothing_is_left_running_when_the_call_is_cancelled() -> None:
    before = asyncio.all_tasks()
    begun = asyncio.Event()

    async def call() -> None:
        async with sending_progress(Wire().send):
            begun.set()
            await asyncio.sleep(10 * PATIENCE_S)

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
