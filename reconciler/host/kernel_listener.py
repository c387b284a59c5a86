"""The kernel's notices as host events, in the running event loop.

A machine that ends takes its tap along: the kernel puts it down, unplugs and removes it, some milliseconds before
libvirt knows. Nothing can repair that, and libvirt reports it. So a tap that goes down is reported only when it has
existed for a moment longer, and one that disappears is not reported at all. Only a tunnel that disappears is.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import assert_never

import structlog

from reconciler.host.firewall.nftables_codec import TABLE_PREFIX
from reconciler.host.host_events import HostEvent, HostEventKind, Listener
from reconciler.host.netlink.notice_codec import (
    DATAGRAM_BYTES,
    NETLINK_NETFILTER,
    LinkGone,
    LinkSeen,
    Notice,
    QueueChanged,
    TableChanged,
    parse_firewall_notices,
    parse_route_notices,
)
from reconciler.host.tunnel.tunnel_codec import guarded_cluster
from reconciler.model.names import TUNNEL_PREFIX

log = structlog.get_logger(__name__)

GOING_S = 0.2
"""How long a tap that went down is ignored; on a busy host its removal takes that long."""

_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_GROUPS_OF_ROUTE = (1, 4)  # RTNLGRP_LINK, RTNLGRP_TC
_GROUPS_OF_NETFILTER = (7,)  # NFNLGRP_NFTABLES; needs CAP_NET_ADMIN
_BUFFER_BYTES = 1_048_576
_MOST_DATAGRAMS_AT_ONCE = 64

Parse = Callable[[bytes], Iterator[Notice]]


class KernelListener:
    """Notifies `listener`, in the event loop that it was opened in, of changes by others to interfaces and firewall."""

    def __init__(self, listener: Listener) -> None:
        self._tell = listener
        self._links: dict[int, LinkSeen] = {}
        self._going: dict[int, asyncio.TimerHandle] = {}
        self._sockets: list[socket.socket] = []

    def open(self) -> None:
        """Start listening. What this process may not listen to is left to the resync, and logged."""
        self._open("interfaces", socket.NETLINK_ROUTE, _GROUPS_OF_ROUTE, parse_route_notices)
        self._open("firewall", NETLINK_NETFILTER, _GROUPS_OF_NETFILTER, parse_firewall_notices)

    def close(self) -> None:
        """Stop notifying."""
        loop = asyncio.get_running_loop()
        for timer in self._going.values():
            timer.cancel()
        for each in self._sockets:
            loop.remove_reader(each)
            each.close()
        self._sockets.clear()

    def _open(self, what: str, protocol: int, groups: tuple[int, ...], parse: Parse) -> None:
        try:
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
            self._sockets.append(opened)
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            opened.bind((0, 0))
            for group in groups:
                opened.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        except OSError as error:
            log.info("kernel_not_followed", what=what, cause=os.strerror(error.errno or errno.EIO))
            return
        asyncio.get_running_loop().add_reader(opened, self._on_readable, opened, parse)

    def _on_readable(self, source: socket.socket, parse: Parse) -> None:
        """Handle what is there now; the same event only once, however many messages report it."""
        events: dict[HostEvent, None] = {}
        for _ in range(_MOST_DATAGRAMS_AT_ONCE):
            try:
                datagram = source.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError as error:  # ENOBUFS: netlink(7)
                log.info("kernel_events_missed", cause=str(error))
                events[HostEvent(HostEventKind.MISSED)] = None
                break
            for notice in parse(datagram):
                events.update(dict.fromkeys(self._events_of(notice)))
        for event in events:
            self._tell(event)

    def _events_of(self, notice: Notice) -> Iterator[HostEvent]:
        match notice:
            case LinkSeen():
                yield from self._on_link(notice)
            case LinkGone(index):
                gone = self._links.pop(index, None)
                self._stop_waiting(index)
                if gone is not None and gone.name.startswith(TUNNEL_PREFIX):
                    yield from _interface(gone.name)
            case QueueChanged(index):
                known = self._links.get(index)
                if known is None or known.up:
                    yield from _interface(known.name if known else _name_of(index))
            case TableChanged(name):
                if name.startswith(TABLE_PREFIX):
                    yield HostEvent(HostEventKind.FIREWALL, name.removeprefix(TABLE_PREFIX))
                if (guarded := guarded_cluster(name)) is not None:
                    yield HostEvent(HostEventKind.FIREWALL, guarded)
            case _:
                assert_never(notice)

    def _on_link(self, seen: LinkSeen) -> Iterator[HostEvent]:
        before, self._links[seen.index] = self._links.get(seen.index), seen
        if before == seen:
            return
        self._stop_waiting(seen.index)
        if seen.up:
            yield from _interface(seen.name)
        else:
            loop = asyncio.get_running_loop()
            self._going[seen.index] = loop.call_later(GOING_S, self._stayed, seen)

    def _stayed(self, seen: LinkSeen) -> None:
        self._going.pop(seen.index, None)
        for event in _interface(seen.name):
            self._tell(event)

    def _stop_waiting(self, index: int) -> None:
        if timer := self._going.pop(index, None):
            timer.cancel()


def _interface(name: str) -> Iterator[HostEvent]:
    if name:
        yield HostEvent(HostEventKind.INTERFACE, name)


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""  # gone meanwhile
