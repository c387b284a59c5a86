"""Asks the kernel by netlink: takes a tenth of a millisecond, where starting a program takes ten or more."""

import errno
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from reconciler.host.netlink.dump_codec import (
    BRIDGE_TABLES_REQUEST,
    QUEUES_REQUEST,
    Family,
    RootQueue,
    chains_request,
    is_last,
    parse_chains,
    parse_root_queues,
    parse_table_dump,
)
from reconciler.host.netlink.notice_codec import DATAGRAM_BYTES, NETLINK_NETFILTER

_ANSWER_TIMEOUT_S = 1.0
_NO_NFTABLES = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT})
"""The answer of a kernel without nftables to a process with the capability.

net/netfilter/nfnetlink.c checks the capability first.
"""
_LEGACY_TABLES = {Family.IPV4: Path("/proc/net/ip_tables_names"), Family.IPV6: Path("/proc/net/ip6_tables_names")}


class Kernel:
    """The kernel of this host. Methods return None if it cannot be asked; a program may then say why."""

    def bridge_tables(self) -> frozenset[str] | None:
        """The names of the nftables tables of family `bridge`; needs CAP_NET_ADMIN."""
        return _nftables(BRIDGE_TABLES_REQUEST, parse_table_dump)

    def iptables_chains(self, family: Family) -> frozenset[str] | None:
        """The names of the chains of iptables or ip6tables, if their rules are kept in nftables; needs CAP_NET_ADMIN.

        Also None if the older variant has a filter table: only the program can read that.
        """
        try:
            if "filter" in _LEGACY_TABLES[family].read_text().split():
                return None
        except FileNotFoundError:
            pass  # the older variant's module is not loaded
        except OSError:
            return None
        return _nftables(chains_request(family), parse_chains)

    def root_queues(self, taps: Collection[str]) -> Mapping[str, RootQueue | None] | None:
        """The root queue of each of those taps; None for a tap without one, or that does not exist."""
        try:
            answer = list(_dump(socket.NETLINK_ROUTE, QUEUES_REQUEST))
        except OSError:
            return None
        roots = {root.index: root for datagram in answer for root in parse_root_queues(datagram)}
        return {tap: roots.get(_index_of(tap)) for tap in taps}


def _nftables(request: bytes, parse: Callable[[bytes], Iterable[str]]) -> frozenset[str] | None:
    try:
        answer = list(_dump(NETLINK_NETFILTER, request))
    except OSError as error:
        return frozenset() if error.errno in _NO_NFTABLES else None
    return frozenset(name for datagram in answer for name in parse(datagram))


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
