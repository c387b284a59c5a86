"""What the kernel has, asked by netlink: in a tenth of a millisecond, where a program takes ten or more to start."""

import socket
from collections.abc import Collection, Iterator, Mapping

from reconciler.host.netlink.codec import DATAGRAM_BYTES, NETLINK_NETFILTER
from reconciler.host.netlink.dump_codec import (
    BRIDGE_TABLES_REQUEST,
    QUEUES_REQUEST,
    DumpRefused,
    RootQueue,
    is_last,
    parse_root_queues,
    parse_tables,
)

_ANSWER_TIMEOUT_S = 1.0


class Kernel:
    """The kernel of this host. It answers None where it cannot be asked: then a program may say why."""

    def bridge_tables(self) -> frozenset[str] | None:
        """The names of the nftables tables of family `bridge`; needs CAP_NET_ADMIN."""
        try:
            answer = list(_dump(NETLINK_NETFILTER, BRIDGE_TABLES_REQUEST))
        except (OSError, DumpRefused):
            return None
        return frozenset(name for datagram in answer for name in parse_tables(datagram))

    def root_queues(self, taps: Collection[str]) -> Mapping[str, RootQueue | None] | None:
        """The root of each of those taps; one without a queue, or that is not there, has None."""
        try:
            answer = list(_dump(socket.NETLINK_ROUTE, QUEUES_REQUEST))
        except (OSError, DumpRefused):
            return None
        roots = {root.index: root for datagram in answer for root in parse_root_queues(datagram)}
        return {tap: roots.get(_index_of(tap)) for tap in taps}


def _dump(protocol: int, request: bytes) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as asking:
        asking.settimeout(_ANSWER_TIMEOUT_S)
        asking.bind((0, 0))
        asking.send(request)
        while not is_last(datagram := asking.recv(DATAGRAM_BYTES)):
            yield datagram
        yield datagram


def _index_of(tap: str) -> int:
    try:
        return socket.if_nametoindex(tap)
    except OSError:
        return 0  # no interface has it
