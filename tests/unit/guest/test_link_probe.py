"""The probe that runs in guests, on this machine's own loopback."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.guest import link_probe
from tests.waiting import PATIENCE_S

SCRIPT = Path(link_probe.__file__).read_bytes()


def probe(*words: object) -> str:
    """The script as a guest gets it: on its standard input."""
    command = [sys.executable, "-", *map(str, words)]
    return subprocess.run(command, input=SCRIPT, capture_output=True, check=True, timeout=PATIENCE_S).stdout.decode()


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_every_probe_is_counted_and_answered_and_the_count_ends_when_it_is_read(port: int) -> None:
    assert probe("listen", "here", port, int(PATIENCE_S)) == ""
    trips = json.loads(probe("send", "here", port, "127.0.0.1", 5, 0.01))
    assert len(trips["127.0.0.1"]) == 5
    assert all(0 < trip_ms < 1000 * PATIENCE_S for trip_ms in trips["127.0.0.1"])
    assert json.loads(probe("report", "here", port)) == {"127.0.0.1": 5}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("", port))


def test_doubles_count_once_and_what_is_of_others_or_damaged_not_at_all(port: int) -> None:
    probe("listen", "here", port, int(PATIENCE_S))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (
            b'{"session": "here", "number": 1, "sent_s": 0}',
            b'{"session": "here", "number": 1, "sent_s": 0}',
            b'{"session": "elsewhere", "number": 2, "sent_s": 0}',
            b"\xff{",
            b"[]",
        ):
            sender.sendto(datagram, ("127.0.0.1", port))
    assert json.loads(probe("report", "here", port)) == {"127.0.0.1": 1}
