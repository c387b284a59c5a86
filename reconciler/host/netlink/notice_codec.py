"""Netlink messages, and which objects a notice is about. Pure.

netlink(7), rtnetlink(7); linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/netfilter/nf_tables.h of Linux 6.1.
All numbers are in the byte order of the host.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_NETFILTER = 12
DATAGRAM_BYTES = 65_536

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
QUEUE = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info
_NFTABLES_HEADER_BYTES = 4
_ALIGN = 4
_TYPE_MASK = 0x3FFF

_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_QUEUE_TYPES = frozenset({36, 37, 40, 41, 44, 45})  # RTM_{NEW,DEL}{QDISC,TCLASS,TFILTER}
_AF_UNSPEC = 0
_IFF_UP = 1
_IFLA_IFNAME, _IFLA_MASTER = 3, 10

_NFNL_SUBSYS_NFTABLES = 10
_NFT_OF_NO_TABLE = frozenset({15, 16, 17})  # NFT_MSG_{NEWGEN,GETGEN,TRACE}
NFTA_TABLE = 1  # in messages on tables, chains, rules, sets and elements alike


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """The state of an existing interface; `master` is the index of the bridge it is plugged into."""

    index: int
    name: str
    master: int | None
    up: bool


@dataclass(frozen=True, slots=True)
class LinkGone:
    """An interface no longer exists."""

    index: int


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """A queue, class or filter of an interface was created, changed or removed."""

    index: int


@dataclass(frozen=True, slots=True)
class TableChanged:
    """An nftables table, or something in it, was created, changed or removed."""

    name: str


Notice = LinkSeen | LinkGone | QueueChanged | TableChanged


def parse_route_notices(datagram: bytes) -> Iterator[Notice]:
    """The interfaces and queues that a datagram of NETLINK_ROUTE is about; everything else is left out."""
    for kind, _, payload in messages(datagram):
        if kind in _QUEUE_TYPES and len(payload) >= QUEUE.size:
            yield QueueChanged(QUEUE.unpack_from(payload)[1])
        elif kind in {_RTM_NEWLINK, _RTM_DELLINK} and len(payload) >= _LINK.size:
            yield from _link_notice(kind, payload)


def parse_firewall_notices(datagram: bytes) -> Iterator[Notice]:
    """The tables that a datagram of NETLINK_NETFILTER, group NFNLGRP_NFTABLES, is about."""
    for kind, _, payload in messages(datagram):
        if kind >> 8 != _NFNL_SUBSYS_NFTABLES or kind & 0xFF in _NFT_OF_NO_TABLE:
            continue
        if (name := parse_attributes(payload[_NFTABLES_HEADER_BYTES:]).get(NFTA_TABLE)) is not None:
            yield TableChanged(parse_name(name))


def _link_notice(kind: int, payload: bytes) -> Iterator[Notice]:
    family, _, index, flags, _ = _LINK.unpack_from(payload)
    if family != _AF_UNSPEC:
        return  # a bridge's notice about its ports, where "deleted" means unplugged
    if kind == _RTM_DELLINK:
        yield LinkGone(index)
        return
    found = parse_attributes(payload[_LINK.size :])
    master = found.get(_IFLA_MASTER)
    yield LinkSeen(
        index=index,
        name=parse_name(found.get(_IFLA_IFNAME, b"")),
        master=int(struct.unpack("=I", master)[0]) if master is not None else None,
        up=bool(flags & _IFF_UP),
    )


def messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and payload of each message; a message that was cut off is left out."""
    at = 0
    while at + HEADER.size <= len(datagram):
        length, kind, flags, *_ = HEADER.unpack_from(datagram, at)
        if length < HEADER.size or at + length > len(datagram):
            return
        yield kind, flags, datagram[at + HEADER.size : at + length]
        at += _aligned(length)


def parse_attributes(payload: bytes) -> dict[int, bytes]:
    """The attributes that follow a message's own fields, by type."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = payload[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + _ALIGN - 1) & ~(_ALIGN - 1)


def parse_name(value: bytes) -> str:
    """The value of an attribute that is a name."""
    return value.rstrip(b"\0").decode(errors="replace")
