"""Which addresses have open connections."""

import socket
from ipaddress import IPv4Address

from reconciler.host.open_connections import has_open_connection, parse_connected

# Linux 6.18, x86_64: a listener, a connection from 192.168.100.254, one that is being closed.
SAMPLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: FE64A8C0:C001 0B64A8C0:0016 01 00000000:00000000 02:0000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: FD64A8C0:C002 0B64A8C0:0016 06 00000000:00000000 03:0000 00000000     0        0 0 3 0
"""


def test_only_established_connections_count() -> None:
    assert parse_connected(SAMPLE) == {IPv4Address("192.168.100.254")}


def test_a_connection_of_this_host_is_seen_while_it_is_open() -> None:
    own = IPv4Address("127.0.0.77")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not has_open_connection(own)
        with socket.create_connection(server.getsockname(), source_address=(str(own), 0)):
            assert has_open_connection(own)
