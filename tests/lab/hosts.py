"""Several hosts in one lab: labs inside the lab, joined by a bridge, and an etcd of three members beside them.

    switch     the bridge `hosts` of the outer lab, where the tests run: 10.88.0.254
    host k     a lab with a libvirtd of its own: `hostK`, 10.88.0.K
    member k   an etcd in a network namespace of its own: `etcdK`, 10.88.0.(100 + K)

Each host and member is on the switch by a port that has its name. Nothing is shared by hosts but the guest images,
the client key of the nodes and the certificates for etcd.
"""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from reconciler.files.configuration_files import DEFAULT_CONFIG_PATH
from reconciler.guest.keys import generate_client_key
from reconciler.store.etcd.etcd_address import EtcdAddress
from tests.authority import Authority
from tests.etcd import RunningEtcd
from tests.kvm_verdict import give_kvm_verdict
from tests.lab import LAB_ROOT
from tests.waiting import PATIENCE_S, wait_until

SWITCH = "hosts"
MEMBERS = 3
_REPOSITORY = Path(__file__).parents[2]
_LISTED = LAB_ROOT / "hosts.json"
_NETWORK = "10.88.0"
_CUTS = "hosts"
_HOST_READY = "echo ready; exec sleep infinity"
CREDENTIALS = Path("/etc/vmcluster/etcd")
_CLIENT_KEY = Path("/etc/vmcluster/ssh/vmcluster_id_ed25519")
_STATE_DIR = Path("/var/lib/vmcluster/state")
_DIRECTORIES = ("/etc/vmcluster/topologies", "/var/lib/vmcluster/overlays", "/var/lib/vmcluster/disks")


@dataclass(frozen=True, slots=True)
class LabHost:
    """One host; `pid` is that of its process 1, as the outer lab numbers it."""

    name: str
    address: str
    pid: int

    def inside(self, path: Path | str) -> Path:
        """A path of the host's, as the outer lab reaches it."""
        return Path(f"/proc/{self.pid}/root") / Path(path).relative_to("/")

    def command(self, *argv: str) -> list[str]:
        """The command line that runs `argv` on the host, in the repository, and ends it with the process started."""
        entering = ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid", "--"]
        return [*entering, "setpriv", "--pdeathsig=KILL", "--", "env", f"--chdir={_REPOSITORY}", *argv]

    def run(self, *argv: str, check: bool = True, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a command on the host and wait for it."""
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=timeout_s, check=False)
        assert not check or done.returncode == 0, f"{self.name}: {argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *argv: str, output: IO[Any] | int = subprocess.DEVNULL) -> "OnHost":
        """Start a command on the host, with its output there."""
        return OnHost(subprocess.Popen(self.command(*argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output))


@dataclass(frozen=True, slots=True)
class OnHost:
    """A command that was started on a host; `entering` is the process that entered its namespaces."""

    entering: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """The command's own process, as the outer lab numbers it: what signals are sent to."""
        wait_until(lambda: bool(_children(self.entering.pid)))
        return _children(self.entering.pid)[0]

    def kill(self) -> None:
        """Kill it without a chance to clean up."""
        self.entering.kill()
        self.entering.wait()


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of the lab and the members of its etcd; `started` are the processes that hold them."""

    hosts: tuple[LabHost, ...]
    members: tuple[RunningEtcd, ...] = ()
    started: "tuple[subprocess.Popen[bytes], ...]" = ()

    def __getitem__(self, number: int) -> LabHost:
        """A host by its number, from 1."""
        return self.hosts[number - 1]

    @property
    def store(self) -> EtcdAddress:
        return EtcdAddress(tuple(each.address.members[0] for each in self.members))

    def separate(self, *cuts: tuple[Sequence[str], Sequence[str]]) -> None:
        """Partition hosts and members into exactly these groups; without any, remove all partitions."""
        pairs = [(one, other) for group, rest in cuts for one in group for other in rest]
        _nft(f"table bridge {_CUTS}\ndelete table bridge {_CUTS}\n{_table_of_cuts(pairs)}")

    def stop(self) -> None:
        """Stop everything; the kernel removes the rest of a host with its last process."""
        for each in self.started:
            each.kill()
        for member in self.members:
            member.stop()
        for each in self.started:
            each.wait()
        for member in self.members:
            _ip("netns", "delete", member.name)
        _ip("link", "delete", SWITCH)


def found_hosts() -> Hosts | None:
    """The hosts of a lab that was started with some."""
    if not _LISTED.exists():
        return None
    return Hosts(tuple(LabHost(**each) for each in json.loads(_LISTED.read_text())))


def note(hosts: Hosts) -> None:
    """Record them, so that `found_hosts` finds them."""
    _LISTED.write_text(json.dumps([asdict(host) for host in hosts.hosts]))


@contextmanager
def running_hosts(count: int, directory: Path, image_dir: Path | None) -> Iterator[Hosts]:
    """This many hosts, configured, with an etcd, in the current lab."""
    hosts = start_hosts(count, directory, image_dir)
    try:
        yield hosts
    finally:
        hosts.stop()


def start_hosts(count: int, directory: Path, image_dir: Path | None, size: str = "50%") -> Hosts:
    """Start hosts and etcd in this lab; `directory` holds their files in the outer lab."""
    _ip("link", "add", SWITCH, "type", "bridge")
    _ip("address", "add", f"{_NETWORK}.254/24", "dev", SWITCH)
    _ip("link", "set", SWITCH, "up")
    started = [_start_host(image_dir, size) for _ in range(count)]
    authority = Authority(directory / "authority")
    members = _start_members(directory, authority)
    hosts = Hosts(tuple(_plugged_in(number, each) for number, each in enumerate(started, 1)), members, tuple(started))
    generate_client_key(directory / _CLIENT_KEY.name)
    for host in hosts.hosts:
        _configure(host, hosts.store, authority, directory / _CLIENT_KEY.name)
    for member in members:
        member.wait_until_healthy()
    return hosts


def _start_host(image_dir: Path | None, size: str) -> "subprocess.Popen[bytes]":
    images = [] if image_dir is None else ["--image-dir", str(image_dir)]
    command = [sys.executable, "-m", "tests.lab", "--size", size, *images, "--", "sh", "-c", _HOST_READY]
    return subprocess.Popen(command, cwd=_REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def _plugged_in(number: int, started: "subprocess.Popen[bytes]") -> LabHost:
    """The host, once it is ready, with its end of a cable to the switch."""
    assert started.stdout is not None
    with started.stdout as output:
        assert output.readline() == b"ready\n", "a host of the lab could not be set up: see above"
    (unshare,) = _children(started.pid)
    (init,) = _children(unshare)
    host = LabHost(f"host{number}", f"{_NETWORK}.{number}", init)
    _plug_in(host.name, str(init), host.address, ("nsenter", "--target", str(init), "--net", "--"))
    return host


def _start_members(directory: Path, authority: Authority) -> tuple[RunningEtcd, ...]:
    """Start the members' servers, which speak TLS with clients, and only with those that have a certificate."""
    names = {f"etcd{number}": f"{_NETWORK}.{100 + number}" for number in range(1, MEMBERS + 1)}
    clients = ssl.create_default_context(cafile=str(authority.ca))
    clients.load_cert_chain(*authority.issue("health"))
    files = ("--trusted-ca-file", str(authority.ca), "--client-cert-auth")
    members = []
    for name, address in names.items():
        _ip("netns", "add", name)
        _plug_in(name, name, address, ("ip", "netns", "exec", name))
        certificate, key = authority.issue(name, address)
        members.append(
            RunningEtcd(
                directory / name,
                2379,
                2380,
                (*files, "--cert-file", str(certificate), "--key-file", str(key)),
                clients,
                host=address,
                name=name,
                peers=tuple(f"{each}=http://{of}:2380" for each, of in names.items()),
                entering=("ip", "netns", "exec", name),
            )
        )
    for member in members:
        member.launch()
    return tuple(members)


def _plug_in(port: str, namespace: str, address: str, entering: Sequence[str]) -> None:
    """Lay a cable from the switch into a network namespace, which is given by its name or by a process in it."""
    _ip("link", "add", port, "type", "veth", "peer", "name", "uplink", "netns", namespace)
    _ip("link", "set", port, "master", SWITCH, "up")
    for words in (("address", "add", f"{address}/24", "dev", "uplink"), ("link", "set", "uplink", "up")):
        subprocess.run([*entering, "ip", *words], check=True)
    subprocess.run([*entering, "ip", "link", "set", "lo", "up"], check=True)


def _configure(host: LabHost, store: EtcdAddress, authority: Authority, key: Path) -> None:
    """Write the host's configuration, with the client's key and its certificates."""
    certificate, private = authority.issue(host.name, host.address)
    for name, source in {"ca.pem": authority.ca, "client.pem": certificate, "client.key": private}.items():
        _copy(source, host.inside(CREDENTIALS / name))
    for name in (key.name, f"{key.name}.pub"):
        _copy(key.with_name(name), host.inside(_CLIENT_KEY).with_name(name))
    for directory in _DIRECTORIES:
        host.inside(directory).mkdir()
    give_kvm_verdict(host.inside(_STATE_DIR))
    configuration = {
        "store": str(store),
        "store_ca_file": str(CREDENTIALS / "ca.pem"),
        "store_cert_file": str(CREDENTIALS / "client.pem"),
        "store_key_file": str(CREDENTIALS / "client.key"),
        "host_name": host.name,
        "host_address": host.address,
    }
    host.inside(DEFAULT_CONFIG_PATH).write_text(yaml.safe_dump(configuration))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    target.chmod(0o600)


def _table_of_cuts(pairs: Iterable[tuple[str, str]]) -> str:
    both = [f'"{one}" . "{other}"' for pair in pairs for one, other in (pair, pair[::-1])]
    if not both:
        return ""
    return f"""table bridge {_CUTS} {{
  chain forward {{
    type filter hook forward priority -300;
    iifname . oifname {{ {", ".join(both)} }} drop
  }}
}}
"""


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text.encode(), check=True)
