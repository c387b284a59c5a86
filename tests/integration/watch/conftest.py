"""The service as a separate process, as a service manager runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bed import Bed
from tests.waiting import wait_until

RESYNC_S = 2.0


@dataclass
class WatchProcess:
    """A running `vmcluster watch`."""

    process: subprocess.Popen[bytes]
    log: Path

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's entries of that name."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory."""
        line = next(
            of for of in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if of.startswith("VmRSS")
        )
        return int(line.split()[1]) / 1024


@contextmanager
def watching(
    bed: Bed, *arguments: str, resync_s: float = RESYNC_S, environment: Mapping[str, str] | None = None
) -> Iterator[WatchProcess]:
    """Run the service; it is killed at the end if it has not ended by itself."""
    log = bed.directory / f"watch-{time.monotonic_ns()}.log"
    command = [str(Path(sys.executable).parent / "vmcluster"), "watch", "--resync", str(resync_s), *arguments]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, env={**bed.environment, **(environment or {})}, stderr=stderr)
    service = WatchProcess(process, log)
    try:
        wait_until(lambda: bool(service.logged("watching")) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield service
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class Manager:
    """A service manager's end of the socket, and what it has received so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def has(self, message: str, times: int = 1) -> bool:
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        return self.heard.count(message) >= times

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": "400000"}


@pytest.fixture
def manager(bed: Bed) -> Iterator[Manager]:
    made = Manager(bed.directory / "notify")
    yield made
    made.socket.close()


@pytest.fixture
def watch(bed: Bed) -> Iterator[WatchProcess]:
    """The service on the test's bed."""
    with watching(bed) as service:
        yield service
