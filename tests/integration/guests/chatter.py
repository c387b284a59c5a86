"""Runs inside a guest with `python3 - PEERS`: sends every kind of packet to every peer, and counts what it receives.

PEERS is JSON, name -> {mac, ip, link_local}; the node itself may be among them. The peers' hardware addresses are set
permanently, so that each direction is seen even if the other one is cut. After each tick the counts are in `REPORT`:
{"ticks": number, "heard": {peer: {kind: packets}}}. Ends with the machine.
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

REPORT = Path("/run/chatter.json")
TICK_S = 0.25
CLOSED_PORT = 9
FLOW_PORT = 4444
BROADCAST_PORT = 4445
NOBODY = 99
ETH_P_ALL = 3
FRAME_BYTES = 2048
BROADCAST_MAC = b"\xff" * 6

Peer = dict[str, str]


def main(around: "dict[str, Peer]") -> None:
    """Set the peers' addresses, then chatter in the background."""
    device, own = next(
        (path.name, (path / "address").read_text().strip())
        for path in Path("/sys/class/net").iterdir()
        if path.name != "lo"
    )
    peers = {name: peer for name, peer in around.items() if peer["mac"] != own}
    for peer in peers.values():
        for address in (peer["ip"], peer["link_local"]):
            subprocess.run(
                ["ip", "neigh", "replace", address, "lladdr", peer["mac"], "dev", device, "nud", "permanent"],
                check=True,
            )
    Path(f"/proc/sys/net/ipv4/neigh/{device}/retrans_time_ms").write_text("200")
    ear = Ear(device, peers)
    report(0, ear)
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    chatter(Mouth(device, peers), ear)


class Mouth:
    """Sends one packet of each kind to each peer."""

    def __init__(self, device: str, peers: "dict[str, Peer]") -> None:
        self._peers = peers
        self._scope = socket.if_nametoindex(device)
        network, _, _ = next(iter(peers.values()))["ip"].rpartition(".")
        self._nobody, self._all = f"{network}.{NOBODY}", f"{network}.255"
        self._icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._icmp6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._flows: dict[str, socket.socket] = {}
        for mute in (self._icmp, self._icmp6):
            mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # answers are received by `Ear`

    def talk(self) -> None:
        """Send to each peer, and to all of them at once."""
        for name, peer in self._peers.items():
            self._question(peer)
            with contextlib.suppress(OSError):
                self._flow(name, peer["ip"])
        for address in (self._all, self._nobody):  # nobody has the second one, which makes the kernel ask who has it
            with contextlib.suppress(OSError):
                self._udp.sendto(b"hello", (address, BROADCAST_PORT))

    def _question(self, peer: Peer) -> None:
        with contextlib.suppress(OSError):
            self._icmp.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FD, 1, 1), (peer["ip"], 0))
        with contextlib.suppress(OSError):
            self._icmp6.sendto(struct.pack("!BBHHH", 128, 0, 0, 1, 1), (peer["link_local"], 0, 0, self._scope))
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
            caller.setblocking(False)
            caller.connect((peer["ip"], CLOSED_PORT))

    def _flow(self, name: str, address: str) -> None:
        """Send one more byte on the one connection that stays open as long as this runs."""
        if name not in self._flows:
            caller = socket.create_connection((address, FLOW_PORT), timeout=TICK_S)
            caller.setblocking(False)
            self._flows[name] = caller
        self._flows[name].send(b"x")


class Ear:
    """Counts packets by kind and sender, and the bytes that arrive on the flows."""

    def __init__(self, device: str, peers: "dict[str, Peer]") -> None:
        self.heard: dict[str, dict[str, int]] = {name: {} for name in peers}
        self._by_mac = {bytes.fromhex(peer["mac"].replace(":", "")): name for name, peer in peers.items()}
        self._by_ip = {peer["ip"]: name for name, peer in peers.items()}
        self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._frames.bind((device, ETH_P_ALL))
        self._server = socket.create_server(("", FLOW_PORT))
        self._flows: dict[socket.socket, str] = {}
        for one in (self._frames, self._server):
            one.setblocking(False)

    def listen(self, until: float) -> None:
        """Receive everything that has arrived, and what arrives before `until`."""
        while True:
            left_s = max(0.0, until - time.monotonic())
            ready, _, _ = select.select([self._frames, self._server, *self._flows], [], [], left_s)
            if not ready:
                return
            for one in ready:
                self._take(one)

    def _take(self, one: socket.socket) -> None:
        if one is self._server:
            flow, (address, _) = one.accept()
            self._flows[flow] = self._by_ip[address]
        elif one is self._frames:
            self._count(one.recv(FRAME_BYTES))
        else:
            self._note(self._flows[one], "flow", len(one.recv(FRAME_BYTES)))

    def _count(self, frame: bytes) -> None:
        sender = self._by_mac.get(frame[6:12])
        if sender is not None:
            self._note(sender, "frame")
            for kind in kinds_of(frame):
                self._note(sender, kind)

    def _note(self, sender: str, kind: str, more: int = 1) -> None:
        self.heard[sender][kind] = self.heard[sender].get(kind, 0) + more


def kinds_of(frame: bytes) -> "list[str]":
    """The kinds of a frame; for IPv4 and IPv6 also what is inside."""
    (ethertype,) = struct.unpack("!H", frame[12:14])
    if ethertype == 0x0806:
        return ["arp"]
    if ethertype == 0x86DD:
        return ["icmp6"] if frame[20] == socket.IPPROTO_ICMPV6 else []
    if ethertype == 0x0800 and frame[:6] == BROADCAST_MAC:
        return ["broadcast"]
    return {socket.IPPROTO_ICMP: ["icmp"], socket.IPPROTO_TCP: ["tcp"]}.get(frame[23], [])


def chatter(mouth: Mouth, ear: Ear) -> None:
    """Talk and listen forever."""
    ticks = 0
    while True:
        mouth.talk()
        ear.listen(time.monotonic() + TICK_S)
        ticks += 1
        report(ticks, ear)


def report(ticks: int, ear: Ear) -> None:
    """Replace the file atomically, because others may read it at any time."""
    unfinished = REPORT.with_suffix(".new")
    unfinished.write_text(json.dumps({"ticks": ticks, "heard": ear.heard}))
    unfinished.replace(REPORT)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
