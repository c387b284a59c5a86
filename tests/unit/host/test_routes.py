"""Samples: iproute2 6.1."""

import json
from ipaddress import IPv4Network

from reconciler.host.routes import parse_addresses, parse_names, parse_routes
from reconciler.model.host_view import Route

ROUTES = json.dumps(
    [
        {"dst": "default", "gateway": "10.1.0.1", "dev": "eth0", "flags": []},
        {
            "dst": "10.1.0.0/16",
            "dev": "eth0",
            "protocol": "kernel",
            "scope": "link",
            "prefsrc": "10.1.0.5",
            "flags": [],
        },
        {"dst": "10.9.9.9", "via": "10.1.0.2", "dev": "eth0", "table": "100", "flags": []},
        {"type": "blackhole", "dst": "10.5.0.0/16", "flags": []},
        {"type": "local", "dst": "10.1.0.5", "dev": "eth0", "table": "local", "flags": []},
        {"type": "broadcast", "dst": "10.1.255.255", "dev": "eth0", "table": "local", "flags": []},
        {"dst": "172.20.0.0/16", "nexthops": [{"dev": "eth0"}, {"dev": "eth1"}], "flags": []},
    ]
).encode()
ADDRESSES = json.dumps(
    [
        {
            "ifname": "eth0",
            "altnames": ["enp0s3", "ens3"],
            "addr_info": [
                {"family": "inet", "local": "10.1.0.5", "prefixlen": 16},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64},
            ],
        },
        {
            "ifname": "down0",
            "operstate": "DOWN",
            "addr_info": [{"family": "inet", "local": "10.8.0.1", "prefixlen": 30}],
        },
        {"ifname": "bare0", "addr_info": []},
        {},
    ]
).encode()


def net(text: str) -> IPv4Network:
    return IPv4Network(text)


def test_routes_are_told_with_whether_they_lead_anywhere_and_the_default_one_is_not() -> None:
    assert list(parse_routes(ROUTES)) == [
        Route(net("10.1.0.0/16"), "eth0"),
        Route(net("10.9.9.9/32"), "eth0"),
        Route(net("10.5.0.0/16"), "", leads_nowhere=True),
        Route(net("10.1.0.5/32"), "eth0"),
        Route(net("172.20.0.0/16"), ""),
    ]


def test_addresses_count_on_interfaces_that_are_down_too() -> None:
    assert list(parse_addresses(ADDRESSES)) == [Route(net("10.1.0.0/16"), "eth0"), Route(net("10.8.0.0/30"), "down0")]
    assert parse_names(ADDRESSES) == {"eth0", "enp0s3", "ens3", "down0", "bare0"}
