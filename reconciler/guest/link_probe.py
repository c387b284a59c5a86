"""Runs inside a guest with `python3 -`: sends datagrams to all others at once and counts what came from whom.

Broadcast needs no answer to an ARP request, so each direction is seen even if the other one is cut. Needs only Python
3.7 and imports nothing of this program.

    listen SESSION PORT SECONDS              count probes in the background and answer them, for at most SECONDS
    send SESSION PORT BROADCAST COUNT GAP_S  send COUNT probes and print the round trips as {address: [milliseconds]}
    report SESSION PORT                      print the counts as {address: [distinct, total]} and stop counting
"""

import json
import os
import signal
import socket
import sys
import time

ANSWERS_WAIT_S = 3.0
MAX_DATAGRAM_BYTES = 65535


def listen(session: str, port: int, seconds: int) -> None:
    """Bind, then continue in the background: no probe is missed after this returns."""
    listener = _socket()
    listener.bind(("", port))
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.alarm(seconds)
    _count(listener, session)


def send(session: str, port: int, broadcast: str, count: int, gap_s: float) -> None:
    """Send the probes at even intervals and receive the answers meanwhile."""
    sender = _socket()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    trips: dict[str, list[float]] = {}
    begin = time.monotonic()
    for number in range(count):
        sender.sendto(_probe(session, number), (broadcast, port))
        _take_answers(sender, session, trips, begin + (number + 1) * gap_s)
    _take_answers(sender, session, trips, time.monotonic() + ANSWERS_WAIT_S)
    print(json.dumps(trips))


def report(session: str, port: int) -> None:
    """Ask the background process on this machine."""
    asker = _socket()
    asker.settimeout(ANSWERS_WAIT_S)
    asker.sendto(json.dumps({"session": session, "report": True}).encode(), ("127.0.0.1", port))
    print(asker.recv(MAX_DATAGRAM_BYTES).decode())


def _count(listener: socket.socket, session: str) -> None:
    seen: dict[str, set[int]] = {}
    while True:
        datagram, sender = listener.recvfrom(MAX_DATAGRAM_BYTES)
        said = _of_session(datagram, session)
        if said is None:
            continue
        if "report" in said:
            counted = {address: len(numbers) for address, numbers in seen.items()}
            listener.sendto(json.dumps(counted).encode(), sender)
            return
        seen.setdefault(sender[0], set()).add(int(said["number"]))
        listener.sendto(datagram, sender)


def _take_answers(sender: socket.socket, session: str, trips: "dict[str, list[float]]", until: float) -> None:
    while (left_s := until - time.monotonic()) > 0:
        sender.settimeout(left_s)
        try:
            datagram, (address, _port) = sender.recvfrom(MAX_DATAGRAM_BYTES)
        except socket.timeout:  # noqa: UP041  its name before Python 3.10
            return
        said = _of_session(datagram, session)
        if said is not None:
            trips.setdefault(address, []).append((time.monotonic() - said["sent_s"]) * 1000)


def _probe(session: str, number: int) -> bytes:
    return json.dumps({"session": session, "number": number, "sent_s": time.monotonic()}).encode()


def _of_session(datagram: bytes, session: str) -> "dict[str, float] | None":
    """The content of a datagram; None if it is from another session or damaged."""
    try:
        said = json.loads(datagram)
        return said if said["session"] == session else None
    except (ValueError, TypeError, KeyError):
        return None


def _socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def main(mode: str, session: str, port: str, *rest: str) -> None:
    """Run one of the three modes."""
    if mode == "listen":
        listen(session, int(port), int(rest[0]))
    elif mode == "send":
        send(session, int(port), rest[0], int(rest[1]), float(rest[2]))
    else:
        report(session, int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
