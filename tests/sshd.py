"""A real sshd on the loopback interface, for tests: own keys, own port, nothing of the system's configuration."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.files.roots import PlaceToMake
from reconciler.guest.address import GuestAddress
from reconciler.guest.keys import generate_client_key, generate_host_key
from reconciler.guest.pool import SshPool
from tests.waiting import PATIENCE_S

_PRIVILEGE_SEPARATION_DIR = Path("/run/sshd")  # sshd(8), as Debian builds it; needed only when root runs it


class Sshd:
    """One sshd that can be stopped, started again on the same port, and looked into."""

    def __init__(self, directory: Path, *, max_sessions: int = 10, login_shell: str | None = None) -> None:
        self._directory = directory
        self._login_shell = login_shell
        self._max_sessions = max_sessions
        self.port = _free_port()
        self.address = self._write_files()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its port is open."""
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION_DIR.mkdir(mode=0o755, exist_ok=True)
        log = (self._directory / "sshd.log").open("ab")
        self._process = subprocess.Popen(
            [_sshd_program(), "-D", "-e", "-f", str(self._directory / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        log.close()
        self._wait_for_port()

    def stop(self) -> None:
        """End the listener and every session, at once."""
        if self._process is None:
            return
        for pid in [*self.session_pids(), self._process.pid]:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill_leftovers(self) -> None:
        """End what tests have left running on the "guest"; their home directory tells whose they are."""
        home = f"HOME={self._directory}".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and home in (entry / "environ").read_bytes().split(b"\0"):
                    _signal(int(entry.name), signal.SIGKILL)
            except OSError:  # ended meanwhile, or belongs to another user
                continue

    def session_pids(self) -> list[int]:
        """The processes of sshd that serve connections, parents first."""
        assert self._process is not None
        return [pid for pid in _descendants(self._process.pid) if _program_of(pid).startswith("sshd")]

    def signal_sessions(self, number: signal.Signals) -> None:
        """Send a signal to what serves the connections: KILL cuts them, STOP makes them go silent."""
        for pid in self.session_pids():
            _signal(pid, number)

    def freeze(self) -> None:
        """Make the whole server go silent: connections stay open, new ones are taken by the kernel only."""
        assert self._process is not None
        for pid in [*self.session_pids(), self._process.pid]:
            _signal(pid, signal.SIGSTOP)

    def _write_files(self) -> GuestAddress:
        private, public = generate_host_key()
        host_key_path = self._directory / "host_key"
        host_key_path.write_text(private)
        host_key_path.chmod(0o600)
        key_path = self._directory / "client_key"
        (self._directory / "authorized_keys").write_text(generate_client_key(key_path) + "\n")
        (self._directory / "sshd_config").write_text(self._render_config(host_key_path))
        return GuestAddress(
            cluster="loopback",
            node="sshd",
            host="127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            key_path=key_path,
            host_key=public,
            connect_timeout_s=PATIENCE_S,
        )

    def _render_config(self, host_key_path: Path) -> str:
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": host_key_path,
            "AuthorizedKeysFile": self._directory / "authorized_keys",
            "PidFile": "none",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "StrictModes": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            "SetEnv": f"HOME={self._directory}",  # away from the start-up files of the user who runs the tests
            "MaxSessions": self._max_sessions,
        }
        if self._login_shell is not None:
            given = f'exec env SHELL={self._login_shell} {self._login_shell} -c "$SSH_ORIGINAL_COMMAND"'
            settings["ForceCommand"] = given
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _wait_for_port(self) -> None:
        assert self._process is not None
        for _ in range(int(PATIENCE_S / 0.02)):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None:
                    break
            else:
                return
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        raise RuntimeError(f"sshd did not start:\n{(self._directory / 'sshd.log').read_text()}")


@contextmanager
def running_sshd(directory: Path, *, max_sessions: int = 10, login_shell: str | None = None) -> Iterator[Sshd]:
    """An sshd for as long as the block lasts, its files in `directory`; `login_shell` takes the place of the user's."""
    sshd = Sshd(directory, max_sessions=max_sessions, login_shell=login_shell)
    sshd.start()
    try:
        yield sshd
    finally:
        sshd.stop()
        sshd.kill_leftovers()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd for all tests that do not damage it."""
    with running_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An sshd for one test that damages it."""
    with running_sshd(tmp_path) as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[SshPool]:
    """An SSH pool that is closed when the test ends."""
    async with SshPool() as opened:
        yield opened


async def moments_s(pool: SshPool, sshd: Sshd) -> float:
    """How long a command on an open connection takes to begin at most, judged by how long a login takes now."""
    started = time.monotonic()
    await pool.run(sshd.address, "true", timeout_s=PATIENCE_S)
    return 0.3 + 3 * (time.monotonic() - started)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    return _stat_fields(pid)[1:2] not in ([], ["Z"])


def _sshd_program() -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if program := shutil.which("sshd", path=path):
        return program
    raise RuntimeError("these tests need OpenSSH's server program `sshd`: .ci/setup tests")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _descendants(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _stat_fields(int(entry.name))[2:3] == [str(pid)]:
            yield int(entry.name)
            yield from _descendants(int(entry.name))


def _program_of(pid: int) -> str:
    return "".join(_stat_fields(pid)[:1])


def _stat_fields(pid: int) -> list[str]:
    """Program name, state, parent, … of a process (proc_pid_stat(5)); empty where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [stat[stat.index("(") + 1 : stat.rindex(")")], *stat[stat.rindex(")") + 2 :].split()]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself


async def anywhere(_place: PlaceToMake) -> None:
    """For a copy that may take any place."""
