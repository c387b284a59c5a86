"""Networks to libvirt's XML and back, also as libvirt prints it, and as people change it."""

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.libvirt.mark import NetworkMark
from reconciler.host.libvirt.network_xml import NetworkRecord, parse_network, render_network
from reconciler.model.document import Network
from reconciler.model.topology import Forward
from tests.unit.host.libvirt.samples import NETWORKS, SAMPLE_CLUSTER

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_NAT = (GOLDEN / "network-nat.libvirt-9.0.0.xml").read_text()

networks = st.builds(
    Network,
    bridge=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", fullmatch=True),
    gateway=st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    prefix_length=st.integers(1, 30),
    forward=st.sampled_from(Forward),
    active=st.booleans(),
)


@given(networks, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True))
def test_what_is_rendered_is_read_back(network: Network, name: str) -> None:
    record = parse_network(render_network(SAMPLE_CLUSTER, name, network), active=network.active)
    assert record == NetworkRecord(name, network, NetworkMark(SAMPLE_CLUSTER))


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("network-*.xml")), ids=lambda path: path.stem)
def test_what_libvirt_adds_changes_nothing_that_is_ours(sample: Path) -> None:
    name = sample.name.removeprefix("network-").partition(".")[0]
    expected = NetworkRecord(name, NETWORKS[name], NetworkMark(SAMPLE_CLUSTER))
    assert parse_network(sample.read_text(), active=True) == expected


@pytest.mark.parametrize(
    ("ours", "changed"),
    [
        ("mode='nat'", "mode='route'"),
        ("mode='nat'", "mode='open'"),
        ("<forward mode='nat'/>", ""),
        ("prefix='24'", "prefix='25'"),
        ("prefix='24'", "netmask='255.255.255.0'"),
        ("10.99.0.1", "10.99.0.2"),
        ("virbr-golden0", "virbr9"),
    ],
)
def test_a_change_by_hand_is_seen_as_a_difference(ours: str, changed: str) -> None:
    assert ours in GOLDEN_NAT
    record = parse_network(GOLDEN_NAT.replace(ours, changed), active=True)
    assert record is not None
    assert record.network != NETWORKS["nat"]


def test_an_isolated_network_that_somebody_opened_is_seen_as_a_difference() -> None:
    isolated = (GOLDEN / "network-isolated.libvirt-9.0.0.xml").read_text()
    record = parse_network(isolated.replace("<bridge", "<forward mode='route'/><bridge"), active=True)
    assert record is not None
    assert record.network != NETWORKS["isolated"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("urn:vmcluster:1", "urn:other"), ('cluster="golden"', ""), ("</network>", ""), ("<bridge ", "<other ")],
)
def test_a_network_without_our_mark_or_a_bridge_is_not_ours(ours: str, theirs: str) -> None:
    assert ours in GOLDEN_NAT
    assert parse_network(GOLDEN_NAT.replace(ours, theirs), active=True) is None


@given(st.text())
def test_no_text_at_all_makes_the_parser_fail(text: str) -> None:
    assert parse_network(text, active=False) is None


def test_a_network_without_the_gateway_has_no_subnet_that_libvirt_could_refuse() -> None:
    network = Network(bridge="vmf-1", gateway="", prefix_length=0, forward=Forward.ISOLATED, active=True)
    xml = render_network(SAMPLE_CLUSTER, "fork-try", network)
    assert "<ip" not in xml
    assert parse_network(xml, active=True) == NetworkRecord("fork-try", network, NetworkMark(SAMPLE_CLUSTER))
