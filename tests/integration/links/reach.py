"""Finds which nodes of a segment receive what: each node sends to every other once. Runs where the segment is.

Argument: JSON, node -> {ns, device, ip, link_local, mac, broadcast}; a node without `ns` is in the namespace that this
is run in. Prints JSON, kind -> [[sender, receiver], ...], of everything that was received.
"""

import contextlib
import ctypes
import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PORT = 7007
ARP = 0x0806
LISTEN_S = 0.4
CLONE_NEWNET = 0x40000000

Nodes = dict[str, dict[str, str]]


@dataclass
class Sockets:
    """The sockets with which a node sends and receives."""

    ipv4: socket.socket
    ipv6: socket.socket
    arp: socket.socket
    scope: int


def main() -> None:
    """Send everything, then listen."""
    nodes: Nodes = json.loads(sys.argv[1])
    with Path("/proc/self/ns/net").open() as own:
        sockets = {name: opened(node, own.fileno()) for name, node in nodes.items()}
    for sender, node in nodes.items():
        for receiver in nodes:
            if sender != receiver:
                send(sockets[sender], nodes, sender, receiver)
        if node["ns"]:
            with contextlib.suppress(OSError):
                sockets[sender].ipv4.sendto(f"broadcast {sender}".encode(), (node["broadcast"], PORT))
    print(json.dumps(heard(sockets, {node["mac"]: name for name, node in nodes.items()})))


def opened(node: dict[str, str], own: int) -> Sockets:
    """Sockets in the node's namespace; they stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if node["ns"]:
        with Path("/run/netns", node["ns"]).open() as namespace:
            assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, "setns"
    four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    four.bind(("", PORT))
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    six.bind(("::", PORT))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    raw.bind((node["device"], ARP))
    scope = socket.if_nametoindex(node["device"])
    assert libc.setns(own, CLONE_NEWNET) == 0, "setns"
    return Sockets(four, six, raw, scope)


def send(own: Sockets, nodes: Nodes, sender: str, receiver: str) -> None:
    """Send one packet of each kind; if the device is down, none is received."""
    to = nodes[receiver]
    source, target = (bytes.fromhex(nodes[name]["mac"].replace(":", "")) for name in (sender, receiver))
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + source + socket.inet_aton(nodes[sender]["ip"])
    frame = target + source + struct.pack("!H", ARP) + request + bytes(6) + socket.inet_aton(to["ip"])
    with contextlib.suppress(OSError):
        own.ipv4.sendto(f"ipv4 {sender}".encode(), (to["ip"], PORT))
    with contextlib.suppress(OSError):
        own.ipv6.sendto(f"ipv6 {sender}".encode(), (to["link_local"], PORT, 0, own.scope))
    with contextlib.suppress(OSError):
        own.arp.send(frame.ljust(60, b"\0"))


def heard(sockets: dict[str, Sockets], by_mac: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Sender and receiver of everything that arrives, by kind."""
    selector = selectors.DefaultSelector()
    for name, own in sockets.items():
        for one in (own.ipv4, own.ipv6, own.arp):
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ, (name, one))
    found: dict[str, set[tuple[str, str]]] = {kind: set() for kind in ("ipv4", "ipv6", "arp", "broadcast")}
    end = time.monotonic() + LISTEN_S
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            receiver, one = key.data
            kind, sender = read(one, by_mac)
            if sender is not None and sender != receiver:
                found[kind].add((sender, receiver))
    return {kind: sorted(pairs) for kind, pairs in found.items()}


def read(one: socket.socket, by_mac: dict[str, str]) -> tuple[str, str | None]:
    """The kind and the sender of a packet; no sender if it is not from a node, or was sent from here."""
    data, origin = one.recvfrom(2048)
    if one.family != socket.AF_PACKET:
        kind, sender = data.decode().split()
        return kind, sender
    return "arp", None if origin[2] == socket.PACKET_OUTGOING else by_mac.get(data[6:12].hex(":"))


main()
