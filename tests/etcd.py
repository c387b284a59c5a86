"""Real etcd servers on the loopback interface, with their data in a temporary directory."""

import json
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
from typing import Any

from reconciler.store.etcd.etcd_address import EtcdAddress
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
    host: str = "127.0.0.1"
    name: str = "member"
    peers: tuple[str, ...] = ()
    """All members of its cluster, as `--initial-cluster` has them; by default it is the only one."""
    entering: tuple[str, ...] = ()
    """What is put before the command to run it in a network namespace; it must replace itself by the command."""

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    @property
    def peer(self) -> str:
        return f"{self.name}={self._peer_url}"

    @property
    def address(self) -> EtcdAddress:
        return EtcdAddress.parse(f"etcd://{self.host}:{self.port}")

    def start(self) -> None:
        self.launch()
        self.wait_until_healthy()

    def launch(self) -> None:
        """Start it without waiting: one of several members answers only once most of them run."""
        peer = self._peer_url
        command = [
            *(*self.entering, PROGRAM, "--name", self.name, "--data-dir", str(self.directory)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(self.peers or (self.peer,))),
            *("--logger", "zap", "--log-level", "error", *self.arguments),
        ]
        environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    @property
    def _log(self) -> Path:
        return self.directory.with_suffix(".log")

    @property
    def _peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def set_full(self, *, full: bool) -> None:
        """Have its cluster refuse what takes room, as where the database has grown to its quota; or end that."""
        alarm = {"action": "ACTIVATE" if full else "DEACTIVATE", "memberID": self._member_id(), "alarm": "NOSPACE"}
        self._post("maintenance/alarm", alarm)

    def defragment(self) -> None:
        """Give room back to the disk that compaction has freed."""
        self._post("maintenance/defragment", {})

    def leads(self) -> bool:
        """Whether it is the leader of its cluster."""
        if self.process is None:
            return False
        said = self._post("maintenance/status", {})
        return bool(said["leader"] == said["header"]["member_id"])

    def hand_over_to(self, member: "RunningEtcd") -> None:
        """Let another member lead in its place, as `etcdctl move-leader` does."""
        self._post("maintenance/transfer-leadership", {"targetID": member._member_id()})

    def _member_id(self) -> int:
        return int(self._post("maintenance/status", {})["header"]["member_id"])

    def _post(self, path: str, what: object) -> "dict[str, Any]":
        request = urllib.request.Request(f"{self.url}/v3/{path}", json.dumps(what).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5, context=self.tls) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def wait_until_healthy(self) -> None:
        """Wait until it answers, which means that its cluster has a leader."""
        deadline = time.monotonic() + 2 * PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1, context=self.tls) as answer:
                    if b'"true"' in answer.read():
                        return
            except (OSError, urllib.error.URLError):
                time.sleep(0.02)
            assert self.process is not None
            assert self.process.poll() is None, self._log.read_text()
        raise AssertionError(f"etcd does not become healthy: {self._log.read_text()}")


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


@contextmanager
def running_members(directory: Path, count: int = 3, arguments: Sequence[str] = ()) -> Iterator[list[RunningEtcd]]:
    """An etcd of several members, ready for clients; killed at the end."""
    ports = free_ports(2 * count)
    members = [
        RunningEtcd(directory / f"m{place}", ports[2 * place], ports[2 * place + 1], tuple(arguments), name=f"m{place}")
        for place in range(count)
    ]
    for member in members:
        member.peers = tuple(other.peer for other in members)
    try:
        for member in members:
            member.launch()
        for member in members:
            member.wait_until_healthy()
        yield members
    finally:
        for member in members:
            member.stop()
