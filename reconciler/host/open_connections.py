"""Which addresses of this host have open TCP connections, from `/proc/net/tcp` (proc(5))."""

import sys
from ipaddress import IPv4Address
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_ESTABLISHED = "01"


def has_open_connection(address: IPv4Address) -> bool:
    """Whether a program of this host has a connection from that address; False if that cannot be read."""
    try:
        return address in parse_connected(_TABLE.read_text())
    except OSError:
        return False


def parse_connected(table: str) -> frozenset[IPv4Address]:
    """The local addresses of established connections. The kernel prints each as a number in the order of its bytes."""
    rows = [line.split(maxsplit=4) for line in table.splitlines()[1:]]
    return frozenset(_address(local) for _, local, _, state, *_ in rows if state == _ESTABLISHED)


def _address(place: str) -> IPv4Address:
    number = int(place.partition(":")[0], 16)
    return IPv4Address(number.to_bytes(4, sys.byteorder))
