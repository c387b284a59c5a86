"""What happens to controllers, members of etcd and the network at a boundary of an action, and what holds afterwards.

The controller that comes to the boundary halts there, so that what is done to it is done just then.
"""

import asyncio
import json
import os
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

from reconciler.errors import StoreUnavailable
from reconciler.host.disks.manifests import read_manifests
from reconciler.host.libvirt.mark import parse_domain_mark
from reconciler.model import names
from reconciler.model.document import Snapshot
from reconciler.model.record import EVERYTHING, ClusterRecord, WantedPower
from reconciler.model.snapshot import Manifest
from reconciler.records import record_changes as changes
from reconciler.records.stored_records import change_record
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete_below, one
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.etcd import RunningEtcd
from tests.integration.hosts.halting_controller import BOUNDARIES, HALT, ask_to_halt, boundaries_in
from tests.integration.hosts.idle_cluster import start_logged
from tests.lab.hosts import CREDENTIALS, Hosts, LabHost, OnHost
from tests.simulation import edits
from tests.simulation.worlds import NODES
from tests.waiting import PATIENCE_S, eventually

CLUSTER = "failing"
WHERE = {node: number for number, node in enumerate(NODES, 1)}
_LIBVIRT = "/run/libvirt/libvirt-sock"
_OVERLAYS = Path("/var/lib/vmcluster/overlays")
_CALM_S = 2 * PATIENCE_S
_STATES = {WantedPower.RUNNING: libvirt.VIR_DOMAIN_RUNNING, WantedPower.OFF: libvirt.VIR_DOMAIN_SHUTOFF}


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of the cluster on one host, as found without asking the product."""

    state: int
    starts: int
    """libvirt's number of the node's machine: it counts every start on this host. 0 where it is off."""
    boot_epoch: int
    layers: frozenset[str]
    used_layers: frozenset[str]
    """Those that the machine or a snapshot stands on."""
    snapshots: frozenset[str]
    unfinished: frozenset[str]
    cuts: bool
    """Whether there is something of the cluster in the firewall."""


@dataclass(frozen=True, slots=True)
class Act:
    """What a user asks for.

    A host comes to so many `boundaries` with it, and starts its node's machine so often.
    """

    name: str
    edit: edits.Edit
    boundaries: int
    starts: int = 0


class FailingHosts:
    """The hosts with their controllers, and a client of the store that nothing is done to."""

    def __init__(self, hosts: Hosts, controllers: dict[str, OnHost], logs: Path) -> None:
        self.hosts, self.controllers, self.logs = hosts, controllers, logs
        files = (hosts[1].inside(CREDENTIALS / name) for name in ("ca.pem", "client.pem", "client.key"))
        self._etcd = EtcdClient(hosts.store, credentials := EtcdCredentials(*files))
        self._store = EtcdStore(hosts.store, credentials)
        self._starts: dict[str, int] = {}

    async def close(self) -> None:
        await self._store.close()
        await self._etcd.close()

    async def carry_out(self, act: Act) -> None:
        """Ask for it, and wait until it is done, once."""
        before = self.seen()
        await self._ask_for(act)
        self.check(before, act, await self.converged())

    async def _ask_for(self, act: Act) -> None:
        everything = frozenset({EVERYTHING})
        await change_record(self._store, CLUSTER, act.edit, actor="test", consent=lambda _: everything)

    async def converged(self) -> ClusterRecord:
        """Wait until all hosts say that everything is as in the record."""
        said: object = None
        try:
            async with asyncio.timeout(_CALM_S):
                while True:
                    with suppress(StoreUnavailable):
                        entry = await self._store.standing(CLUSTER)
                        assert entry is not None
                        said = status = entry.status
                        if status and status.converged and status.observed_generation >= entry.record.generation:
                            return entry.record
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no end: {said}") from None

    # What happens at a boundary.

    async def failing(self, act: Act, number: int, failure: str, at: str = "", count: int = 0) -> bool:
        """Ask for something, and let a host fail at a boundary of it; False if it does not come to that boundary.

        It is the next one whose name begins so, after `count` others. Afterwards all is as desired, and was done once.
        """
        host = self.hosts[number]
        before = self.seen()
        ask_to_halt(host.inside(HALT), at, count)
        await self._ask_for(act)
        halted = await self._halted_or_converged(host)
        if halted:
            await FAILURES[failure](self, host)
        host.inside(HALT).unlink(missing_ok=True)
        self.check(before, act, await self.converged())
        return halted

    async def _halted_or_converged(self, host: LabHost) -> bool:
        converged = asyncio.ensure_future(self.converged())
        try:
            while not converged.done():
                if self._is_halted(host):
                    return True
                await asyncio.sleep(0.01)
            converged.result()
            return self._is_halted(host)
        finally:
            converged.cancel()

    def _is_halted(self, host: LabHost) -> bool:
        """Whether its controller has stopped itself."""
        state = Path(f"/proc/{self.controllers[host.name].pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def go_on(self, host: LabHost) -> None:
        os.kill(self.controllers[host.name].pid, signal.SIGCONT)

    def start_again(self, host: LabHost) -> None:
        """Kill the controller where it is, and start another."""
        self.controllers[host.name].kill()
        self.controllers[host.name] = start_controller(host, self.logs)

    def log_of(self, host: LabHost) -> str:
        return (self.logs / host.name).read_text()

    # What holds.

    def seen(self) -> dict[str, Seen]:
        return {host.name: _seen(host, node) for host, node in zip(self.hosts.hosts, NODES, strict=True)}

    def check(self, before: Mapping[str, Seen], act: Act, record: ClusterRecord) -> None:
        """All is as in the record; nothing was done twice or half, or is left over; each host has its own node only."""
        for (name, now), intent in zip(self.seen().items(), record.nodes.values(), strict=True):
            was = self._starts.get(name, before[name].starts)
            assert not now.starts or now.starts == was + act.starts, f"{name}: {act.name} after {was} starts: {now}"
            self._starts[name] = now.starts or was
            assert not now.unfinished, f"{name}: {now}"
            assert now.layers == now.used_layers, f"{name}: {now}"
            assert now.snapshots == record.snapshots.keys(), f"{name}: {now}"
            assert (now.state, now.boot_epoch) == (_STATES[intent.power], intent.boot_epoch), f"{name}: {now}"
            assert now.cuts == bool(record.faults), f"{name}: {now}"
        for host in self.hosts.hosts:
            text = host.inside(BOUNDARIES).read_text()
            processes = [process for process, _ in boundaries_in(text)]
            turns = [one for one, next_ in zip(processes, [*processes[1:], None], strict=True) if one != next_]
            assert len(turns) == len(set(turns)), f"{host.name}: two controllers acted at a time: {text}"

    async def end_visits(self, cluster: str) -> None:
        """As if the leases of all visitors of a cluster's network had ended."""
        await self._etcd.change((), [delete_below(keys.visitors(cluster))])

    async def is_alive(self, host: LabHost) -> bool:
        (found,) = await self._etcd.read(one(keys.ALIVE + host.name.encode()))
        return bool(found.kvs)

    async def without_lease(self, host: LabHost) -> None:
        """Wait until a host's lease is over."""

        async def over() -> bool:
            return not await self.is_alive(host)

        await eventually(over)


Failure = Callable[[FailingHosts, LabHost], Awaitable[None]]
"""What happens to a host that has halted, until it goes on and what was away is there."""


async def killed(world: FailingHosts, host: LabHost) -> None:
    world.start_again(host)


async def stopped_for_longer_than_its_lease(world: FailingHosts, host: LabHost) -> None:
    await world.without_lease(host)
    world.go_on(host)


async def stopped_beside_another_controller(world: FailingHosts, host: LabHost) -> None:
    """As where somebody starts one because the first does not answer: the second acts only once that is gone."""
    second = start_controller(host, world.logs)
    await world.without_lease(host)
    world.go_on(host)
    await world.converged()
    second.kill()


def cut_off(*, etcd: bool, hosts: bool) -> Failure:
    """From the members of etcd until the lease is over; from the other hosts while the act is carried out."""

    async def cut(world: FailingHosts, host: LabHost) -> None:
        members = [of.name for of in world.hosts.members] if etcd else []
        others = [of.name for of in world.hosts.hosts if of is not host] if hosts else []
        world.hosts.separate(((host.name,), (*members, *others)))
        world.go_on(host)
        if etcd:
            await world.without_lease(host)
        else:
            await world.converged()
        world.hosts.separate()

    return cut


async def with_its_leader_killed(world: FailingHosts, host: LabHost) -> None:
    """One member of three, the one that leads: the act is carried out without it."""
    leader = leading(world.hosts.members)
    leader.stop()
    world.go_on(host)
    await world.converged()
    await asyncio.to_thread(leader.start)


async def with_two_members_killed(world: FailingHosts, host: LabHost) -> None:
    """What is left answers nobody, until the others are back."""
    gone = world.hosts.members[:2]
    for member in gone:
        member.stop()
    said = len(world.log_of(host))
    world.go_on(host)
    await eventually(lambda: "lease_not_kept_alive" in world.log_of(host)[said:])
    for member in gone:
        member.launch()
    for member in gone:
        await asyncio.to_thread(member.wait_until_healthy)


async def with_another_leader(world: FailingHosts, host: LabHost) -> None:
    """The leader of etcd hands over, as `etcdctl move-leader` has it do, and again while the act goes on."""
    move_leader(world.hosts.members)
    world.go_on(host)
    move_leader(world.hosts.members)


FAILURES: dict[str, Failure] = {
    "killed": killed,
    "stopped for longer than its lease": stopped_for_longer_than_its_lease,
    "stopped beside another controller": stopped_beside_another_controller,
    "cut off from etcd": cut_off(etcd=True, hosts=False),
    "cut off from the other hosts": cut_off(etcd=False, hosts=True),
    "cut off from both": cut_off(etcd=True, hosts=True),
    "with the leader of etcd killed": with_its_leader_killed,
    "with two members of etcd killed": with_two_members_killed,
    "with another leader of etcd": with_another_leader,
}


def leading(members: tuple[RunningEtcd, ...]) -> RunningEtcd:
    return next(of for of in members if of.leads())


def move_leader(members: tuple[RunningEtcd, ...]) -> None:
    """To the member after the one that leads."""
    leader = leading(members)
    next_ = members[(members.index(leader) + 1) % len(members)]
    leader.hand_over_to(next_)
    assert leading(members) is next_


# What is asked for, and what is found.


CYCLE = Act("power cycle", edits.cycled, 5, starts=1)
STOP = Act("stop", edits.stopped, 3)
START = Act("start", edits.started, 3, starts=1)
SPLIT = Act("partition", edits.split, 3)
HEAL = Act("heal", edits.healed, 3)


def snapshot(name: str, *, memory: bool = False) -> Act:
    return Act(
        f"snapshot {name}", lambda record: changes.with_snapshot(record, name, include_memory=memory, quiesce=False), 8
    )


def deletion(name: str) -> Act:
    return Act(f"deletion of {name}", lambda record: changes.without_snapshot(record, name), 3)


def revert(name: str, hosts: Hosts) -> Act:
    """To a snapshot that all hosts have, and in which the nodes run."""
    parts = [of for host in hosts.hosts for of in _manifests(host) if of.snapshot_name == name]
    nodes = {node: part for of in parts for node, part in of.nodes.items()}
    whole = Snapshot(request=parts[0].request, include_memory=parts[0].include_memory, nodes=nodes)
    return Act(
        f"revert to {name}", lambda record: changes.reverted(record, name, whole, restart_after=True), 12, starts=1
    )


def start_controller(host: LabHost, logs: Path) -> OnHost:
    return start_logged(host, logs, sys.executable, "-m", "tests.integration.hosts.halting_controller")


def _manifests(host: LabHost) -> list[Manifest]:
    return read_manifests(host.inside(_OVERLAYS), CLUSTER)


def _seen(host: LabHost, node: str) -> Seen:
    handle = libvirt.open(f"qemu+unix:///system?socket={host.inside(_LIBVIRT)}")
    try:
        (domain,) = handle.listAllDomains()
        assert domain.name() == names.domain_name(CLUSTER, node), "it has the node of another host"
        described = ET.fromstring(domain.XMLDesc())
        mark = parse_domain_mark(described.find("metadata"))
        assert mark is not None
        state, starts = domain.state()[0], domain.ID() if domain.isActive() else 0
    finally:
        handle.close()
    manifests = _manifests(host)
    heads = {disk.path for of in manifests for part in of.nodes.values() for disk in part.disks.values()}
    heads |= {Path(of.attrib["file"]) for of in described.findall("devices/disk/source")}
    cluster = host.inside(_OVERLAYS / CLUSTER)
    return Seen(
        state=state,
        starts=starts,
        boot_epoch=mark.boot_epoch,
        layers=frozenset(path.name for path in cluster.glob("*.qcow2")),
        used_layers=frozenset(name for head in heads for name in _layers_under(host, head)),
        snapshots=frozenset(of.snapshot_name for of in manifests),
        cuts=f"vmcluster-{CLUSTER}" in host.run("nft", "list", "tables").stdout,
        unfinished=frozenset(path.parent.name for path in cluster.glob("snapshots/*/journal.json")),
    )


def _layers_under(host: LabHost, head: Path) -> Iterator[str]:
    """The names of the layers that a disk stands on, with itself."""
    said = host.run("qemu-img", "info", "-U", "--backing-chain", "--output=json", str(head)).stdout
    for layer in json.loads(said):
        if Path(layer["filename"]).suffix == ".qcow2" and Path(layer["filename"]).parent == _OVERLAYS / CLUSTER:
            yield Path(layer["filename"]).name
