"""A tunnel to the words of ip, bridge and nft, and back from what they show."""

from ipaddress import IPv4Network

import pytest

from reconciler.host.tunnel.tunnel_codec import (
    FoundTunnel,
    is_other_port,
    parse_tunnel,
    render_creation,
    render_guard,
    render_own_address,
    render_peers,
    render_plugging,
)
from reconciler.model.document import Tunnel
from tests.golden_samples.tunnels import GOLDEN, LEARNED, NETWORK, TUNNEL

VERSIONS = ("6.1.0", "6.15.0")
SAMPLES = {
    version: (
        (GOLDEN / f"link.iproute2-{version}.txt").read_bytes(),
        (GOLDEN / f"fdb.iproute2-{version}.json").read_bytes(),
    )
    for version in VERSIONS
}
LINK, FORWARDING = SAMPLES[VERSIONS[0]]
SUBNET = IPv4Network("192.168.100.0/24")
GUARD = "vmtunnel-lab-192.168.100.1"
PORT = "vmx-a51146d3807"


def seen(link: bytes = LINK, forwarding: bytes = FORWARDING, guards: tuple[str, ...] = (GUARD,)) -> Tunnel | None:
    return parse_tunnel("lab", link, forwarding, guards, SUBNET).tunnel


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_set_is_read_back_without_what_the_port_has_learned(version: str) -> None:
    assert LEARNED[1].encode() in SAMPLES[version][1]
    assert seen(*SAMPLES[version]) == TUNNEL


@pytest.mark.parametrize(
    ("difference", "found"),
    [
        ({"bridge": None}, seen(link=LINK.replace(b'"UP",', b""))),
        ({"bridge": None}, seen(link=LINK.replace(b'"master":"vb0",', b""))),
        ({"mtu": 1500}, seen(link=LINK.replace(b"1450", b"1500"))),
        ({"peers": ()}, seen(forwarding=b"")),
        ({"gateway": None}, seen(guards=("vmcluster-lab", "vmtunnel-lab-2-192.168.100.1", f"{GUARD}-x"))),
        ({"gateway": None}, seen(guards=(GUARD, "vmtunnel-lab-10.0.0.1"))),
        ({"own_address": None}, seen(link=LINK.replace(b"100.254", b"100.1"))),
        ({"own_address": None}, seen(link=LINK.splitlines()[0])),
    ],
)
def test_what_somebody_changes_is_a_difference(difference: dict[str, object], found: Tunnel | None) -> None:
    assert found == TUNNEL.model_copy(update=difference)


@pytest.mark.parametrize("theirs", [LINK.replace(b"vmcluster-lab", b"theirs"), LINK.replace(b'"port":4789,', b"")])
def test_an_interface_without_our_mark_or_of_another_kind_is_not_ours(theirs: bytes) -> None:
    assert parse_tunnel("lab", theirs, FORWARDING, (), SUBNET) == FoundTunnel(None)


def test_a_port_that_was_not_finished_has_no_mark_and_is_our_own() -> None:
    begun = LINK.replace(b',"ifalias":"vmcluster-lab"', b"").replace(b'"master":"vb0",', b"")
    assert seen(link=begun) == TUNNEL.model_copy(update={"bridge": None})


def test_an_interface_that_is_gone_meanwhile_is_said_to_be() -> None:
    with pytest.raises(ValueError, match="not shown"):
        parse_tunnel("lab", b"", b"", (), SUBNET)


def test_a_port_is_made_apart_from_its_bridge_and_plugged_in_last() -> None:
    assert render_creation("lab", TUNNEL) == f"link add name {PORT} type vxlan id 7 dstport 4789 local 10.88.0.254\n"
    plugged = f"link set dev {PORT} alias vmcluster-lab mtu 1450 master vb0 up\n"
    assert render_plugging("lab", NETWORK, TUNNEL) == plugged


@pytest.mark.parametrize(
    ("change", "other"),
    [({"vni": 8}, True), ({"port": 8472}, True), ({"local": "10.88.0.9"}, True), ({"peers": ()}, False)],
)
def test_a_port_is_made_again_only_for_what_it_cannot_change(change: dict[str, object], other: bool) -> None:
    assert is_other_port(TUNNEL, TUNNEL.model_copy(update=change)) is other


def test_only_peers_that_differ_are_touched() -> None:
    assert render_peers("lab", ("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.3")) == (
        f"fdb append 00:00:00:00:00:00 dev {PORT} dst 10.0.0.3\nfdb delete 00:00:00:00:00:00 dev {PORT} dst 10.0.0.1\n"
    )
    assert render_peers("lab", ("10.0.0.1",), ("10.0.0.1",)) == ""


def test_arp_about_the_gateway_is_held_back_in_every_direction() -> None:
    rendered = render_guard("lab", "192.168.100.1", ("vmtunnel-lab-10.0.0.1", "vmtunnel-other-10.0.0.1"))
    assert rendered.startswith(f"delete table bridge vmtunnel-lab-10.0.0.1\ntable bridge {GUARD} {{\n")
    for hook, count in {"forward": 4, "input": 2, "output": 2}.items():
        (chain,) = [part for part in rendered.split("  chain ") if part.startswith(hook)]
        assert chain.count(" drop\n") == count
    assert render_guard("lab", None, (GUARD,)) == f"delete table bridge {GUARD}\n"
    assert render_guard("lab", None, ()) == ""


@pytest.mark.parametrize(
    ("have", "want", "lines"),
    [
        (None, "192.168.100.254", ["address replace 192.168.100.254/32 dev vb0", "route replace {} 192.168.100.254"]),
        ("192.168.100.254", None, ["route replace {} 192.168.100.1", "address delete 192.168.100.254/32 dev vb0"]),
        ("192.168.100.254", "192.168.100.254", []),
    ],
)
def test_the_route_never_names_an_address_that_is_not_there(
    have: str | None, want: str | None, lines: list[str]
) -> None:
    route = "192.168.100.0/24 dev vb0 proto kernel scope link src"
    assert render_own_address(NETWORK, have, want).splitlines() == [line.format(route) for line in lines]
