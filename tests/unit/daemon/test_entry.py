"""What the service says before it keeps anything."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.daemon import entry as watching
from reconciler.daemon import service
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from tests.unit.store.samples import sample_record
from tests.waiting import eventually

ABSENT_LIBVIRT = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"


@pytest.fixture(autouse=True)
def no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is listened to."""

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Runtime, "follow_guests", nothing)
    monkeypatch.setattr(Runtime, "follow_host", nothing)
    monkeypatch.setattr(Runtime, "follow_kernel", lambda *_: None)


async def test_it_says_whom_it_waits_for_however_long_and_that_it_watches_only_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LEASE_REMINDER_S", 0.0)
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        stop = asyncio.Event()
        with capture_logs() as logs:
            async with runtime.lease("another controller"):
                task = asyncio.create_task(watching.run_service(runtime, (), stop, resync_s=30, metrics_port=0))
                await eventually(lambda: len(logs) >= 3)
                waited = [entry["event"] for entry in logs]
            await eventually(lambda: any(entry["event"] == "watching" for entry in logs))
            stop.set()
            await task
    assert set(waited) == {"waiting_for_lease"}
    assert "(another controller) holds it" in logs[0]["cause"]


async def test_it_ends_at_once_when_it_is_told_to_while_it_waits_for_the_lease(tmp_path: Path) -> None:
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        stop = asyncio.Event()
        async with runtime.lease("another controller"):
            with capture_logs() as logs:
                task = asyncio.create_task(watching.run_service(runtime, (), stop, resync_s=30, metrics_port=0))
                await eventually(lambda: any(entry["event"] == "waiting_for_lease" for entry in logs))
                stop.set()
                await task
        assert "watching" not in [entry["event"] for entry in logs]
        async with runtime.lease("the next one"):
            pass


async def test_a_cluster_that_is_not_there_is_warned_of(tmp_path: Path) -> None:
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri=ABSENT_LIBVIRT)) as runtime:
        await runtime.store.put(sample_record(), expected_generation=0, actor="test")
        stop = asyncio.Event()
        stop.set()
        with capture_logs() as logs:
            await watching.run_service(runtime, ("lab", "nope"), stop, resync_s=30, metrics_port=0)
    (warning,) = [entry for entry in logs if entry["event"] == "cluster_not_defined"]
    assert (warning["cluster"], warning["defined"], warning["log_level"]) == ("nope", ["lab"], "warning")
