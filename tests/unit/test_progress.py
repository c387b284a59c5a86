"""What is said while a verb is at work."""

import asyncio
from datetime import UTC, datetime

import pytest

from reconciler import progress as progress_module
from reconciler.model.event import ClusterEvent, EventKind
from reconciler.progress import Progress, said_meanwhile


def event(subject: str, message: str, node: str = "n0", kind: EventKind = EventKind.ACTION_DONE) -> ClusterEvent:
    return ClusterEvent(cluster_name="c", at=datetime.now(UTC), kind=kind, subject=subject, message=message, node=node)


def test_what_is_done_again_and_again_on_a_node_is_said_once() -> None:
    said: list[str] = []
    progress = Progress(said.append)
    for duration_s in (0.0, 0.01, 0.0):
        for node in ("n0", "n1"):
            progress.event(event("ShutDown", f"done in {duration_s:.2f} s", node))
    progress.event(event("CutPower", "done in 0.10 s"))
    assert said == ["ShutDown n0: done in 0.00 s", "ShutDown n1: done in 0.00 s", "CutPower n0: done in 0.10 s"]


def test_progress_and_changing_failures_are_said_each_time_and_what_is_no_action_never() -> None:
    said: list[str] = []
    progress = Progress(said.append)
    for message in ("20% done", "40% done"):
        progress.event(event("FlattenLayer", message, kind=EventKind.ACTION_ADVANCED))
    for message in ("failed: a", "failed: a", "failed: b"):
        progress.event(event("Start", message, kind=EventKind.ACTION_FAILED))
    progress.event(event("Start", "done in 0.10 s"))
    progress.event(event("Ready", "True", kind=EventKind.CONDITION_CHANGED))
    assert said == [
        "FlattenLayer n0: 20% done",
        "FlattenLayer n0: 40% done",
        "Start n0: failed: a",
        "Start n0: failed: b",
        "Start n0: done in 0.10 s",
    ]


async def test_what_is_still_waited_for_is_said_until_the_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_FIRST_SAID_S", 0.0)
    monkeypatch.setattr(progress_module, "_SAID_AGAIN_S", 0.01)
    said: list[str] = []
    twice = asyncio.Event()

    def report(message: str) -> None:
        said.append(message)
        if len(said) == 2:
            twice.set()

    waiting = ["n0", "n1"]
    async with said_meanwhile(lambda: f"waiting for {', '.join(waiting)}", Progress(report)):
        await twice.wait()
    told = len(said)
    assert said[:2] == ["waiting for n0, n1", "waiting for n0, n1 (for 0 s)"]
    await asyncio.sleep(0.05)
    assert len(said) == told


async def test_a_front_end_with_a_place_for_it_is_told_what_is_under_way_until_it_is_over() -> None:
    told: list[tuple[str, str | None]] = []
    said: list[str] = []
    progress = Progress(said.append, lambda what, how_far: told.append((what, how_far)))
    progress.event(event("FlattenLayer", "20% done", kind=EventKind.ACTION_ADVANCED))
    progress.event(event("FlattenLayer", "done in 1.00 s"))
    async with said_meanwhile(lambda: "waiting for SSH: n0, n1", progress):
        await asyncio.sleep(0)
    assert told == [
        ("FlattenLayer n0", "20% done"),
        ("FlattenLayer n0", None),
        ("waiting for SSH", "n0, n1"),
        ("waiting for SSH", None),
    ]
    assert said == ["FlattenLayer n0: done in 1.00 s"]
