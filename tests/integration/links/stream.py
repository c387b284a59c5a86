"""Sends a paced stream of datagrams from one node of a segment to another. Runs where the segment is.

Arguments: namespace of the sender, of the receiver, the receiver's address, packets, interval in seconds, payload
bytes, seconds to wait after the last one. Prints JSON, [[number, sent_ns, received_ns, intact], ...] in the order of
arrival; the receive time is the kernel's, the send time is taken right before sending.
"""

import ctypes
import json
import selectors
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

PORT = 7008
SO_NO_CHECK = 11  # a damaged payload is delivered as well; include/uapi/asm-generic/socket.h
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
CLONE_NEWNET = 0x40000000
HEAD = struct.Struct("!IQ")

Arrivals = list[tuple[int, int, int, bool]]


def main() -> None:
    """Send and receive in one process, so that both ends use the same clock."""
    sender, receiver, address = sys.argv[1:4]
    count, interval_s, size, wait_s = int(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]), float(sys.argv[7])
    source, target = opened(sender), opened(receiver)
    source.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    source.connect((address, PORT))
    target.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    target.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    target.bind(("", PORT))
    target.setblocking(False)
    print(json.dumps(carried(source, target, count, interval_s, size, wait_s)))


def opened(name: str) -> socket.socket:
    """A socket in a node's namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", name).open() as namespace:
        assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, "setns"
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def carried(
    source: socket.socket, target: socket.socket, count: int, interval_s: float, size: int, wait_s: float
) -> Arrivals:
    """Send on schedule, and read in between."""
    selector = selectors.DefaultSelector()
    selector.register(target, selectors.EVENT_READ)
    padding = bytes(size - HEAD.size - 4)
    arrivals: Arrivals = []
    begun = time.monotonic()
    for number in range(count):
        while (left := begun + number * interval_s - time.monotonic()) > 0:
            if selector.select(left):
                collect(target, arrivals)
        body = HEAD.pack(number, time.time_ns()) + padding
        source.send(struct.pack("!I", zlib.crc32(body)) + body)
    ends = time.monotonic() + wait_s
    while (left := ends - time.monotonic()) > 0:
        if selector.select(left):
            collect(target, arrivals)
    return arrivals


def collect(target: socket.socket, arrivals: Arrivals) -> None:
    """Read everything that has arrived."""
    while True:
        try:
            data, ancillary, _, _ = target.recvmsg(65535, 256)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
        intact = data[:4] == struct.pack("!I", zlib.crc32(data[4:]))
        # The bit that netem flips may be one of the datagram's length.
        number, sent_ns = HEAD.unpack(data[4 : 4 + HEAD.size].ljust(HEAD.size, b"\0"))
        arrivals.append((number, sent_ns, seconds * 10**9 + nanoseconds, intact))


main()
