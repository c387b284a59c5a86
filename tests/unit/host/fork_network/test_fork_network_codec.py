"""The host's address in a fork's network to the words of ip, and back from what it shows: a sample of iproute2 6.1."""

import pytest

from reconciler.host.fork_network.fork_network_codec import (
    parse_host_address,
    parse_other_owners,
    parse_own_addresses,
    render_fork_question,
    render_joining,
    render_owner_question,
    render_rule,
    render_rule_removal,
)
from reconciler.model.document import HostAddress

SUBNET, BRIDGE = "192.168.100.0/24", "vb0"
ADDRESS = HostAddress(address="192.168.100.254", subnet=SUBNET, bridge=BRIDGE)
RULE = b'[{"priority":1000,"src":"192.168.100.254","table":"3232261374"}]\n'
ROUTE = b'[{"dst":"192.168.100.0/24","dev":"vb0","scope":"link","prefsrc":"192.168.100.254","flags":["linkdown"]}]\n'
END = b'[{"type":"unreachable","dst":"default","protocol":"kernel","flags":[]}]\n'
LINK = (
    b'[{"ifindex":2,"ifname":"vb0","flags":["NO-CARRIER","BROADCAST","MULTICAST","UP"],"mtu":1500,"qdisc":"noqueue",'
    b'"operstate":"DOWN","group":"default","txqlen":1000,"link_type":"ether","address":"26:8f:e2:a5:3c:1b",'
    b'"broadcast":"ff:ff:ff:ff:ff:ff","addr_info":[{"family":"inet","local":"192.168.100.254","prefixlen":32,'
    b'"scope":"global","label":"vb0","valid_life_time":4294967295,"preferred_life_time":4294967295}]}]\n'
)


def seen(shown: bytes) -> HostAddress | None:
    return parse_host_address(shown, ADDRESS.address, SUBNET, BRIDGE)


def test_what_was_set_is_read_back() -> None:
    assert seen(RULE + END + ROUTE + LINK) == ADDRESS


@pytest.mark.parametrize(
    "shown",
    [
        END + ROUTE + LINK,
        RULE + END + LINK,
        RULE + ROUTE + LINK,
        RULE + END + ROUTE,
        RULE + END + ROUTE.replace(b'"vb0"', b'"vb1"') + LINK,
        RULE + END + ROUTE + LINK.replace(b"100.254", b"100.1"),
        RULE,
    ],
)
def test_what_is_missing_or_elsewhere_is_a_difference(shown: bytes) -> None:
    assert seen(shown) == ADDRESS.model_copy(update={"bridge": None})


@pytest.mark.parametrize("shown", [b"", b"[]\n[]\n", LINK.replace(b"100.254", b"100.1")])
def test_nothing_of_it_is_nothing(shown: bytes) -> None:
    assert seen(shown) is None


@pytest.mark.parametrize("shown", [END + ROUTE + LINK, END + LINK, END + ROUTE])
def test_an_address_that_another_interface_has_or_its_table_leads_to_is_somebody_elses(shown: bytes) -> None:
    assert parse_other_owners(shown, "vb1") == ["vb0"]
    assert parse_other_owners(shown, BRIDGE) == []
    assert parse_other_owners(END, BRIDGE) == []


def test_of_a_bridge_only_addresses_of_single_hosts_can_be_ours() -> None:
    assert parse_own_addresses(LINK) == [ADDRESS.address]
    assert parse_own_addresses(LINK.replace(b'"prefixlen":32', b'"prefixlen":24')) == []
    assert parse_own_addresses(b"") == []


def test_only_what_is_sent_from_the_address_is_routed_by_its_table_which_leads_nowhere_else() -> None:
    table = 3232261374
    assert render_rule(ADDRESS.address) == (
        f"route replace unreachable default table {table} protocol kernel\n"
        f"rule add pref 1000 from 192.168.100.254 table {table} protocol kernel\n"
    )
    assert render_rule_removal(ADDRESS.address) == (
        f"rule delete pref 1000 from 192.168.100.254 table {table}\nroute delete unreachable default table {table}\n"
    )
    assert render_joining(BRIDGE, ADDRESS) == (
        "address replace 192.168.100.254/32 dev vb0\n"
        f"route replace 192.168.100.0/24 dev vb0 scope link src 192.168.100.254 table {table} protocol kernel\n"
    )
    assert render_fork_question(ADDRESS.address, BRIDGE).splitlines() == [
        f"rule show from 192.168.100.254 table {table}",
        f"route show table {table}",
        "address show dev vb0",
    ]
    assert render_owner_question(ADDRESS.address).splitlines() == [
        "address show to 192.168.100.254/32",
        f"route show table {table}",
    ]
