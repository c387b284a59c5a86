"""Messages of the kernel, as it sent them."""

import pytest

from reconciler.host.netlink.notice_codec import (
    LinkGone,
    LinkSeen,
    QueueChanged,
    TableChanged,
    parse_firewall_notices,
    parse_route_notices,
)
from tests.unit.host.netlink import samples


@pytest.mark.parametrize(
    ("message", "notices"),
    [
        (samples.PLUGGED, [LinkSeen(3, "t0", master=2, up=False)]),
        (samples.UP, [LinkSeen(3, "t0", master=2, up=True)]),
        (samples.UNPLUGGED, [LinkSeen(3, "t0", master=None, up=True)]),
        (samples.DOWN, [LinkSeen(3, "t0", master=None, up=False)]),
        (samples.GONE, [LinkGone(3)]),
        (samples.QUEUES, [QueueChanged(3), QueueChanged(3)]),
        (samples.UP + samples.GONE, [LinkSeen(3, "t0", master=2, up=True), LinkGone(3)]),
    ],
)
def test_interfaces_and_queues_are_told_apart(message: bytes, notices: list[object]) -> None:
    assert list(parse_route_notices(message)) == notices


def test_a_port_that_a_bridge_forgets_is_no_interface_that_is_gone() -> None:
    assert not list(parse_route_notices(samples.PORT_REMOVED))


def test_a_change_of_the_firewall_names_its_table_and_a_generation_names_none() -> None:
    assert list(parse_firewall_notices(samples.TABLE)) == [TableChanged("vmcluster-lab")]
    assert not list(parse_firewall_notices(samples.GENERATION))


@pytest.mark.parametrize("length", range(len(samples.UP)))
def test_a_message_that_was_cut_off_is_left_out(length: int) -> None:
    assert not list(parse_route_notices(samples.UP[:length]))


@pytest.mark.parametrize("parse", [parse_route_notices, parse_firewall_notices])
@pytest.mark.parametrize("junk", [bytes(64), b"\xff" * 64, b"\x10\0\0\0\x10\0" + bytes(10)], ids=["0", "1", "short"])
def test_what_makes_no_sense_says_nothing(parse: type, junk: bytes) -> None:
    assert not list(parse(junk))
