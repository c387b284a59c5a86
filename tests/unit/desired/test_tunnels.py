"""What joins the parts of a network on several hosts: the same from wherever it is computed."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from reconciler.desired.compile import seed_inputs
from reconciler.desired.part import part_of
from reconciler.desired.tunnels import TunnelAddress, addresses_for_visitors, is_joined, tunnel_of, with_tunnel
from reconciler.host.cloud_init.seed_codec import render_seed
from reconciler.model.document import Network, Tunnel
from reconciler.model.record import ClusterRecord, TunnelSpec
from tests.simulation.worlds import compiled, running_record

ADDRESSES: dict[str, TunnelAddress] = {f"host{number}": IPv4Address(f"10.88.0.{number}") for number in (1, 2, 3, 4)}


def placed(**hosts: str) -> ClusterRecord:
    record = running_record(*hosts)
    nodes = {name: node.model_copy(update={"host": hosts[name]}) for name, node in record.spec.nodes.items()}
    return record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": nodes})})


RECORD = placed(alpha="host2", beta="host1", gamma="host2")


def joined(record: ClusterRecord, host: str) -> ClusterRecord:
    return with_tunnel(part_of(record, host), tunnel_of(record, host, "", 7, ADDRESSES))


def test_a_host_is_joined_with_exactly_those_that_have_nodes_and_an_address() -> None:
    record = placed(alpha="host2", beta="host1", gamma="lost")
    assert tunnel_of(record, "host1", "", 7, ADDRESSES) == TunnelSpec(
        vni=7,
        local=IPv4Address("10.88.0.1"),
        peers=(IPv4Address("10.88.0.2"),),
        own_address=IPv4Address("192.168.77.253"),
    )


def test_a_part_is_joined_with_others_that_have_nodes_or_visit() -> None:
    here = placed(alpha="host1", beta="host1")
    visitors = {"host3": IPv4Address("192.168.77.200")}
    assert is_joined(part_of(RECORD, "host1"), "host1", {})
    assert not is_joined(part_of(RECORD, "host3"), "host3", {}), "nothing is here"
    assert not is_joined(part_of(here, "host1"), "host1", {}), "all is here"
    assert is_joined(part_of(RECORD, "host3"), "host3", visitors)
    assert is_joined(part_of(here, "host1"), "host1", visitors)


def test_a_visitor_and_the_hosts_with_nodes_reach_each_other_and_other_visitors_do_not() -> None:
    visitors = dict(zip(("host3", "host4"), addresses_for_visitors(RECORD, "", 4), strict=False))
    there = {host: tunnel_of(RECORD, host, "", 7, ADDRESSES, visitors) for host in ADDRESSES}
    reached = {host: {int(str(peer)[-1]) for peer in of.peers} for host, of in there.items()}
    assert reached == {"host1": {2, 3, 4}, "host2": {1, 3, 4}, "host3": {1, 2}, "host4": {1, 2}}
    assert len({of.own_address for of in there.values()}) == 4
    before = {host: tunnel_of(RECORD, host, "", 7, ADDRESSES).own_address for host in ("host1", "host2")}
    assert {host: there[host].own_address for host in before} == before, "it changes nothing for those with nodes"


def test_a_visitor_gives_way_to_a_node_and_to_a_host_with_nodes() -> None:
    for taken in (RECORD.spec.nodes["alpha"].ip, tunnel_of(RECORD, "host1", "", 7, ADDRESSES).own_address):
        assert taken is not None
        assert tunnel_of(RECORD, "host3", "", 7, ADDRESSES, {"host3": taken}).own_address is None
        assert taken not in addresses_for_visitors(RECORD, "", 4)


def test_of_a_huge_subnet_only_some_addresses_are_looked_at() -> None:
    network = RECORD.spec.network.model_copy(update={"subnet": IPv4Network("192.0.0.0/8", strict=False)})
    huge = RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"network": network})})
    assert 4 < len(addresses_for_visitors(huge, "", 4)) <= 1024


def test_a_visitor_has_the_network_and_nothing_else_of_a_cluster() -> None:
    part = part_of(RECORD, "host3")
    tunnel = tunnel_of(RECORD, "host3", "", 7, ADDRESSES, {"host3": IPv4Address("192.168.77.200")})
    desired = compiled(with_tunnel(part, tunnel))
    assert [of for of in type(desired).model_fields if getattr(desired, of)] == ["networks"]
    assert not compiled(part).networks


def test_hosts_have_different_addresses_that_no_node_has_and_later_ones_change_nothing() -> None:
    top = IPv4Address("192.168.77.254")
    nodes = {**RECORD.spec.nodes, "alpha": RECORD.spec.nodes["alpha"].model_copy(update={"ip": top})}
    record = RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"nodes": nodes})})
    own = {host: tunnel_of(record, host, "", 7, ADDRESSES).own_address for host in ("host2", "host1")}
    assert own == {"host2": top - 1, "host1": top - 2}
    later = record.spec.nodes["beta"].model_copy(update={"host": "host3"})
    grown = record.model_copy(update={"spec": record.spec.model_copy(update={"nodes": {**nodes, "later": later}})})
    assert {host: tunnel_of(grown, host, "", 7, ADDRESSES).own_address for host in own} == own


def test_where_every_address_is_a_nodes_a_host_has_none_of_its_own() -> None:
    network = RECORD.spec.network.model_copy(
        update={"subnet": IPv4Network("10.0.0.0/30"), "gateway": IPv4Address("10.0.0.1")}
    )
    nodes = {"alpha": RECORD.spec.nodes["alpha"].model_copy(update={"ip": IPv4Address("10.0.0.2")})}
    record = RECORD.model_copy(update={"spec": RECORD.spec.model_copy(update={"network": network, "nodes": nodes})})
    assert tunnel_of(record, "host2", "", 7, ADDRESSES).own_address is None


def test_the_network_of_a_part_is_desired_with_its_tunnel() -> None:
    (network,) = compiled(joined(RECORD, "host2")).networks.values()
    assert isinstance(network, Network)
    assert network.tunnel == Tunnel(
        vni=7,
        port=4789,
        local="10.88.0.2",
        peers=("10.88.0.1",),
        mtu=1450,
        bridge="virbr-lab0",
        gateway="192.168.77.1",
        own_address="192.168.77.254",
    )


@pytest.mark.parametrize(
    ("record", "mtu"),
    [
        (joined(RECORD, "host1"), "    mtu: 1450\n"),
        (placed(beta="host1"), "    mtu: 1450\n"),
        (running_record("beta"), ""),
    ],
    ids=["over several hosts", "before it spans them", "on the only host"],
)
def test_guests_are_told_what_passes_between_hosts(record: ClusterRecord, mtu: str) -> None:
    rendered = render_seed(seed_inputs(record)["beta"], "PRIVATE", "PUBLIC").network_config
    assert mtu in rendered
    assert ("mtu" in rendered) is bool(mtu)


def test_what_is_joined_is_not_part_of_the_record_that_is_stored() -> None:
    assert "tunnel" not in joined(RECORD, "host1").model_dump_json()
