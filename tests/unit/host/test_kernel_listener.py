"""Which of the kernel's notices are told on: messages as it sent them, through a socket of the test's own."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from reconciler.host import kernel_listener
from reconciler.host.host_events import HostEvent, HostEventKind
from reconciler.host.kernel_listener import GOING_S, KernelListener
from reconciler.host.netlink.notice_codec import parse_firewall_notices, parse_route_notices
from tests.unit.host.netlink import samples
from tests.waiting import eventually

TAP = HostEvent(HostEventKind.INTERFACE, "t0")


class Kernel:
    """The other end of the listener's socket."""

    def __init__(self) -> None:
        self.told: list[HostEvent] = []
        self._listener = KernelListener(self.told.append)
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._theirs.setblocking(False)

    def says(self, *datagrams: bytes, firewall: bool = False) -> list[HostEvent]:
        """What is told on at once."""
        self.told.clear()
        for datagram in datagrams:
            self._ours.send(datagram)
        firewall = firewall or datagrams[0] in {samples.TABLE, samples.GENERATION}
        self._listener._on_readable(self._theirs, parse_firewall_notices if firewall else parse_route_notices)
        return list(self.told)

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


async def test_a_tap_that_is_unplugged_is_told_of_at_once_and_once(kernel: Kernel) -> None:
    kernel.says(samples.UP)
    assert kernel.says(samples.UNPLUGGED, samples.PORT_REMOVED, samples.UNPLUGGED) == [TAP]


async def test_what_changes_nothing_is_not_told_of(kernel: Kernel) -> None:
    kernel.says(samples.UP)
    assert kernel.says(samples.UP) == []


async def test_a_tap_that_stays_down_is_told_of_after_a_moment(kernel: Kernel) -> None:
    kernel.says(samples.UP)
    assert kernel.says(samples.DOWN) == []
    await eventually(lambda: kernel.told == [TAP])


async def test_a_tap_that_goes_with_its_machine_is_left_to_libvirt(kernel: Kernel) -> None:
    kernel.says(samples.UP)
    assert kernel.says(samples.DOWN, samples.GONE) == []
    await asyncio.sleep(GOING_S * 2)
    assert kernel.told == []


async def test_a_tunnel_that_disappears_is_told_of_at_once(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_listener, "TUNNEL_PREFIX", "t")  # which the sample's interface begins with
    kernel.says(samples.UP)
    assert kernel.says(samples.DOWN, samples.GONE) == [TAP]


async def test_queues_that_are_changed_are_told_of_by_the_name_of_their_tap(kernel: Kernel) -> None:
    kernel.says(samples.UP)
    assert kernel.says(samples.QUEUES) == [TAP]


async def test_a_change_of_our_table_is_told_of_by_its_cluster(kernel: Kernel) -> None:
    assert kernel.says(samples.TABLE) == [HostEvent(HostEventKind.FIREWALL, "lab")]
    assert kernel.says(samples.TABLE.replace(b"vmcluster-lab", b"somebodyelses"), firewall=True) == []


@pytest.mark.parametrize(("table", "events"), [("vmtunnel-a-1", ["a"]), ("vmtunnel-x", []), ("vmtunnelx", [])])
async def test_the_table_that_guards_a_tunnel_is_told_of_by_its_cluster(
    kernel: Kernel, table: str, events: list[str]
) -> None:
    padded = samples.TABLE.replace(b"vmcluster-lab", table.encode().ljust(13, b"\0"))
    assert kernel.says(padded, firewall=True) == [HostEvent(HostEventKind.FIREWALL, name) for name in events]
