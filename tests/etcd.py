"""Real etcd servers on the loopback interface, with their data in a temporary directory."""

import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.store.etcd.members import EtcdAddress
from tests.waiting import PATIENCE_S

PROGRAM = "etcd"


@dataclass(slots=True)
class RunningEtcd:
    """One etcd server; `stop` and `start` take it away and bring it back with the same data."""

    directory: Path
    port: int
    peer_port: int
    arguments: tuple[str, ...] = ()
    tls: "ssl.SSLContext | None" = None
    """For clients, where it is spoken to with TLS; its files are among the arguments."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def address(self) -> EtcdAddress:
        return EtcdAddress.parse(f"etcd://127.0.0.1:{self.port}")

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self.peer_port}"
        command = [
            *(PROGRAM, "--name", "member", "--data-dir", str(self.directory)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"member={peer}"),
            *("--logger", "zap", "--log-level", "error", *self.arguments),
        ]
        log = self.directory.with_suffix(".log")
        environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        self._wait_until_healthy(log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _wait_until_healthy(self, log: Path) -> None:
        deadline = time.monotonic() + 2 * PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1, context=self.tls) as answer:
                    if b'"true"' in answer.read():
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.02)
            assert self.process is not None
            assert self.process.poll() is None, log.read_text()
        raise AssertionError(f"etcd does not become healthy: {log.read_text()}")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running_etcd(
    directory: Path, arguments: Sequence[str] = (), tls: ssl.SSLContext | None = None
) -> Iterator[RunningEtcd]:
    """An etcd of one member, ready for clients; killed at the end."""
    port, peer_port = free_ports(2)
    etcd = RunningEtcd(directory, port, peer_port, tuple(arguments), tls)
    etcd.start()
    try:
        yield etcd
    finally:
        etcd.stop()
