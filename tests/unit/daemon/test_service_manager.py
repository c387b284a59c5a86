"""What systemd hears, through a socket of the test's own."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.controller.round_results import RoundResult
from reconciler.daemon.entry import StatusLine
from reconciler.daemon.service_manager import ServiceManager
from reconciler.model.plan import Plan, StartNetwork
from tests.waiting import PATIENCE_S, eventually


class Listener:
    """The manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        with suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def test_readiness_is_said_once_and_a_status_when_it_is_news(listener: Listener) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listener.socket.getsockname()})
    for _ in range(2):
        manager.ready()
        manager.status("3 clusters,\nall as desired")
    manager.stopping()
    assert listener.heard() == ["READY=1", "STATUS=3 clusters, all as desired", "STOPPING=1"]


def test_a_socket_with_an_abstract_name_is_reached() -> None:
    name = f"vmcluster-test-{os.getpid()}"
    listener = Listener("\0" + name)
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert listener.heard() == ["READY=1"]
    listener.socket.close()


async def test_the_watchdog_hears_twice_in_its_time_that_the_loop_turns(listener: Listener) -> None:
    address = listener.socket.getsockname()
    manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())})
    alive, heard = asyncio.create_task(manager.keep_alive()), list[str]()

    def three_times() -> bool:
        heard.extend(listener.heard())
        return heard.count("WATCHDOG=1") >= 3

    assert await eventually(three_times) > 2 * 0.1 * 0.9
    alive.cancel()
    await asyncio.wait([alive])


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1000"}],
    ids=["no manager", "a watchdog without a socket", "a socket of another kind"],
)
async def test_without_a_manager_nobody_is_told(environment: dict[str, str]) -> None:
    manager = ServiceManager(environment)
    manager.ready()
    await asyncio.wait_for(manager.keep_alive(), PATIENCE_S)
    assert manager.watchdog_s is None


async def test_a_watchdog_of_another_process_is_left_to_it(listener: Listener) -> None:
    address = listener.socket.getsockname()
    manager = ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    await asyncio.wait_for(manager.keep_alive(), PATIENCE_S)
    assert not listener.heard()


def test_a_manager_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_the_status_line_names_what_is_not_as_desired(listener: Listener) -> None:
    line = StatusLine(ServiceManager({"NOTIFY_SOCKET": listener.socket.getsockname()}))
    todo = Plan(actions=(StartNetwork(name="net", reason="is stopped"),))
    line.tell()
    line.on_round("lab", RoundResult(1), 0.1)
    line.on_round("other", RoundResult(1, todo), 0.1)
    line.on_round("other", RoundResult(gone=True), 0.1)
    assert listener.heard() == [
        "STATUS=no cluster was observed yet",
        "STATUS=1 clusters, all as desired",
        "STATUS=2 clusters, not as desired: other",
        "STATUS=1 clusters, all as desired",
    ]
