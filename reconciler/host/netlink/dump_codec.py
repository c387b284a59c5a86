"""Netlink requests for what the kernel has, and their answers. Pure.

A dump is answered by one message for each object, then by one that marks the end. Sources as for the notices
(`notice_codec`), with linux/netfilter/nfnetlink.h and linux/netfilter.h of Linux 6.1.
"""

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from reconciler.host.netlink.notice_codec import HEADER, NFTA_TABLE, QUEUE, messages, parse_attributes, parse_name

_NLM_F_DUMP_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLM_F_DUMP_INTR = 0x10
_NLMSG_ERROR, _NLMSG_DONE = 2, 3

_RTM_NEWQDISC, _RTM_GETQDISC = 36, 38
_TCA_KIND = 1
_TC_H_ROOT = 0xFFFF_FFFF

_NFT_MSG_NEWTABLE, _NFT_MSG_GETTABLE = 0x0A00, 0x0A01  # below NFNL_SUBSYS_NFTABLES
_NFT_MSG_NEWCHAIN, _NFT_MSG_GETCHAIN = 0x0A03, 0x0A04
_NFTA_CHAIN_NAME = 3
_ERROR_CODE = struct.Struct("=i")
_NFGENMSG = struct.Struct("=BBH")  # family, version, resource


@dataclass(frozen=True, slots=True)
class RootQueue:
    """The queue at the root of an interface; `major` is from its handle."""

    index: int
    kind: str
    major: int


class Family(IntEnum):
    """Families of nftables (NFPROTO_*); iptables and ip6tables keep their rules in the first two of them."""

    IPV4 = 2
    BRIDGE = 7
    IPV6 = 10


class DumpRefused(OSError):
    """The kernel does not answer, or its answer mixes two moments (EINTR)."""


def _dump_request(kind: int, fields: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(fields), kind, _NLM_F_DUMP_REQUEST, 0, 0) + fields


BRIDGE_TABLES_REQUEST = _dump_request(_NFT_MSG_GETTABLE, _NFGENMSG.pack(Family.BRIDGE, 0, 0))
QUEUES_REQUEST = _dump_request(_RTM_GETQDISC, QUEUE.pack(0, 0, 0, 0, 0))


def is_last(datagram: bytes) -> bool:
    """Whether a dump has ended. Raises `DumpRefused`."""
    ended = False
    for kind, flags, payload in messages(datagram):
        if kind == _NLMSG_ERROR:
            raise _refusal(payload)
        if flags & _NLM_F_DUMP_INTR:
            raise DumpRefused(errno.EINTR, "what is listed has changed meanwhile")
        ended = ended or kind == _NLMSG_DONE
    return ended


def _refusal(payload: bytes) -> DumpRefused:
    code = -_ERROR_CODE.unpack_from(payload)[0] if len(payload) >= _ERROR_CODE.size else errno.EPROTO
    return DumpRefused(code, errno.errorcode.get(code, "refused"))


def chains_request(family: Family) -> bytes:
    """The request for all chains of a family."""
    return _dump_request(_NFT_MSG_GETCHAIN, _NFGENMSG.pack(family, 0, 0))


def parse_chains(datagram: bytes) -> Iterator[str]:
    """The names of the chains in an answer to a `chains_request`."""
    for kind, _, payload in messages(datagram):
        if kind == _NFT_MSG_NEWCHAIN and (name := parse_attributes(payload[_NFGENMSG.size :]).get(_NFTA_CHAIN_NAME)):
            yield parse_name(name)


def parse_table_dump(datagram: bytes) -> Iterator[str]:
    """The names of the tables in an answer to `BRIDGE_TABLES_REQUEST`."""
    for kind, _, payload in messages(datagram):
        if (
            kind == _NFT_MSG_NEWTABLE
            and (name := parse_attributes(payload[_NFGENMSG.size :]).get(NFTA_TABLE)) is not None
        ):
            yield parse_name(name)


def parse_root_queues(datagram: bytes) -> Iterator[RootQueue]:
    """The root queues in an answer to `QUEUES_REQUEST`."""
    for kind, _, payload in messages(datagram):
        if kind != _RTM_NEWQDISC or len(payload) < QUEUE.size:
            continue
        _, index, handle, parent, _ = QUEUE.unpack_from(payload)
        if parent == _TC_H_ROOT:
            yield RootQueue(
                index, parse_name(parse_attributes(payload[QUEUE.size :]).get(_TCA_KIND, b"")), handle >> 16
            )
