"""Storms: controllers of several hosts, and the etcd that they share, are killed, stopped and cut off while they work.

Each controller is a process of its own, with the real service and store; what it acts on are simulated machines in
this process, so that each of their effects is a boundary at which something may happen to it. A seed decides what.

`python -m tests.simulation.storms [--from SEED] [--seeds COUNT]` runs many of them.
"""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import structlog

from reconciler.errors import ClusterError, Conflict, HostNotFound, StoreUnavailable
from reconciler.model.document import Domain, Power, PowerState, Snapshot
from reconciler.model.record import EVERYTHING, ClusterRecord, WantedPower
from reconciler.records import record_changes as changes
from reconciler.records.recovery import documents
from reconciler.records.stored_records import change_record
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete_below, one
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.etcd import RunningEtcd, running_members
from tests.simulation import edits
from tests.simulation.controller_process import TTL_S
from tests.simulation.many_hosts import HOSTS, spec_over
from tests.simulation.stormy_hosts import StormyHost
from tests.simulation.worlds import CLUSTER, NODES
from tests.waiting import PATIENCE_S

T = TypeVar("T")

FORGETFUL = ("--snapshot-count", "1000")
"""A member that was away for long is sent everything, and not what was changed."""

_LOST_S = TTL_S * 1.6
"""After so long without a word a host is lost to the others."""
_CALM_S = 2 * PATIENCE_S
_EVERY, _MOST_BOUNDARIES = 150, 10**6
"""In a soak, something happens each time that so many boundaries were passed."""


Disturbance = Callable[[StormyHost], Coroutine[Any, Any, None]]


class Storm:
    """One seed's storm over three hosts."""

    def __init__(
        self, seed: int, members: Sequence[RunningEtcd], directory: Path, duration_s: float | None = None
    ) -> None:
        """With a duration it is a soak: clients on all hosts write, and something happens again and again."""
        directory.mkdir(exist_ok=True)
        self.seed, self.members, self.directory = seed, members, directory
        self.violations: list[str] = []
        self.story: list[str] = []
        self._began_s = time.monotonic()
        self._chance = Random(seed)
        address = EtcdAddress(tuple(of for member in members for of in member.address.members))
        self._etcd = EtcdClient(address, EtcdCredentials())
        self._store = EtcdStore(address, EtcdCredentials())
        self._hosts = {name: StormyHost(self, name, directory / name) for name in HOSTS}
        self._boundaries = 0
        self._duration_s = duration_s
        self._due = self._disturbances()
        self._raging: list[asyncio.Task[None]] = []
        self._are_members_away = False
        self._absence = asyncio.Lock()
        self._written: dict[int, str] = {}

    def _disturbances(self) -> dict[int, Disturbance]:
        """What happens at which boundary; most often to the controller that is just there."""
        kinds = [
            *(self._kill, self._kill, self._stop, self._stop, self._cut),
            *(self._stop_member, self._stop_members, self._compact, self._stop_shortly, self._fill, self._set_clock),
        ]
        count = self._chance.choice([1, 1, 2, 3])
        self._forgets = self._chance.random() < 0.2
        chosen = [self._chance.choice(kinds) for _ in range(count)]
        if self._forgets:
            chosen[0] = self._forget
        if self._duration_s is not None:
            return {place: self._chance.choice(kinds) for place in range(_EVERY, _MOST_BOUNDARIES, _EVERY)}
        return {self._chance.randrange(160): kind for kind in chosen}

    def note(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._began_s:6.2f} s, boundary {self._boundaries}: {what}")

    def violated(self, what: str) -> None:
        self.note(f"VIOLATED: {what}")
        self.violations.append(what)

    async def boundary(self, host: StormyHost) -> None:
        """An effect is about to be made, or was just made and is not told yet."""
        self._boundaries += 1
        if (kind := self._due.pop(self._boundaries, None)) is not None:
            self._begin(kind, host)
            await asyncio.sleep(0)  # it begins before anything else happens

    def _begin(self, kind: Disturbance, host: StormyHost) -> None:
        self.note(f"{kind.__name__.strip('_')} on host {host.name}")
        self._raging.append(asyncio.create_task(kind(host)))

    async def run(self) -> None:
        """The whole storm, and then calm. Raises `AssertionError` where a promise is broken."""
        await self._patiently(lambda: self._etcd.change((), [delete_below(keys.ROOT)]))
        for host in self._hosts.values():
            await host.open()
            host.start()
        try:
            await self._change_things()
            for kind in self._due.values():  # those whose boundary never came
                self._begin(kind, self._chance.choice(list(self._hosts.values())))
            self._due = {}
            await asyncio.gather(*self._raging)
            for host in self._hosts.values():
                host.start()
            await self._calm()
        finally:
            for host in self._hosts.values():
                await host.close()
            await self._store.close()
            await self._etcd.close()
        assert not self.violations, self.violations

    async def _change_things(self) -> None:
        spec = spec_over(dict(zip(NODES, HOSTS, strict=True)))
        record = edits.started(changes.with_spec(None, CLUSTER, spec))
        await self._written_as(
            lambda: self._store.put(record, expected_generation=0, actor="storm", consent=frozenset({EVERYTHING})),
        )
        if self._duration_s is not None:
            await asyncio.gather(*(self._write_on(host, self._duration_s) for host in self._hosts.values()))
            self._due = {}
            return
        for _ in range(self._chance.choice([1, 2, 3, 4])):
            if self._chance.random() < 0.7:
                await self._wait_a_while()
            await self._edit(self._any_edit())
        await self._wait_a_while()

    async def _write_on(self, host: StormyHost, duration_s: float) -> None:
        """Write as a client on that host, whose way to etcd may be cut, until the time is over."""
        async with EtcdStore(EtcdAddress.parse(host.store), EtcdCredentials()) as store:
            until_s = time.monotonic() + duration_s
            while time.monotonic() < until_s:
                await self._edit(self._any_edit(), store, host.name)
                await asyncio.sleep(self._chance.uniform(0.2, 2.0))

    async def _wait_a_while(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._chance.choice([0.3, 2.0, 2.0 * TTL_S])):
                await self._until_converged()

    async def _edit(self, edit: edits.Edit, store: EtcdStore | None = None, actor: str = "storm") -> None:
        self.note(f"change by {actor}: {edit.__name__.strip('_')}")
        everything = frozenset({EVERYTHING})
        before = after = None

        def noted(record: ClusterRecord) -> ClusterRecord:
            nonlocal before, after
            before, after = record, edit(record)
            return after

        async def write() -> ClusterRecord:
            return await change_record(store or self._store, CLUSTER, noted, actor=actor, consent=lambda _: everything)

        if (generation := await self._written_as(write)) and after != before:
            self._written[generation] = actor

    async def _written_as(self, write: Callable[[], Awaitable[ClusterRecord]]) -> int:
        try:
            return (await self._patiently(write)).generation
        except Conflict:
            return 0  # a write of which the answer was lost was made all the same

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                await asyncio.sleep(0.1)

    def _any_edit(self) -> edits.Edit:
        """What a user asks for; nothing may stay undone of it."""
        kinds: list[edits.Edit] = [edits.stopped, edits.started, edits.cycled, edits.cycled, edits.split, edits.healed]
        kinds += [] if self._forgets else [edits.snapped, edits.snapped, self._reverted, self._snapshot_deleted]
        return self._chance.choice(kinds)

    def _reverted(self, record: ClusterRecord) -> ClusterRecord:
        """To the first snapshot that all hosts have."""
        for name in record.snapshots:
            found = [host.machine.snapshots.get(name) for host in self._hosts.values()]
            parts = [of for of in found if isinstance(of, Snapshot)]
            if len(parts) == len(found):
                nodes = {node: part for of in parts for node, part in of.nodes.items()}
                whole = parts[0].model_copy(update={"nodes": nodes})
                return changes.reverted(record, name, whole, restart_after=True)
        return record

    def _snapshot_deleted(self, record: ClusterRecord) -> ClusterRecord:
        based = {intent.based_on for intent in record.nodes.values()}
        spare = [name for name in record.snapshots if name not in based]
        return changes.without_snapshot(record, spare[0]) if spare else record

    # What happens.

    async def _kill(self, host: StormyHost) -> None:
        host.kill()
        await asyncio.sleep(self._chance.choice([0.0, 0.2, _LOST_S]))
        host.start()

    async def _stop(self, host: StormyHost) -> None:
        """For longer than its lease."""
        host.signal(signal.SIGSTOP)
        await asyncio.sleep(_LOST_S)
        host.signal(signal.SIGCONT)

    async def _stop_shortly(self, host: StormyHost) -> None:
        host.signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.1, TTL_S))
        host.signal(signal.SIGCONT)

    async def _cut(self, host: StormyHost) -> None:
        """From etcd; what it does meanwhile takes its time."""
        host.cut()
        await asyncio.sleep(self._chance.choice([0.5, _LOST_S]))
        host.mend()

    async def _stop_member(self, _host: StormyHost) -> None:
        await self._without_members(1)

    async def _stop_members(self, _host: StormyHost) -> None:
        await self._without_members(2)

    async def _without_members(self, count: int) -> None:
        gone = self._chance.sample(list(self.members), count)
        async with self._absence:
            self._are_members_away = True
            for member in gone:
                member.stop()
            await asyncio.sleep(self._chance.choice([0.3, _LOST_S]))
            for member in gone:
                member.launch()
            await asyncio.gather(*(asyncio.to_thread(member.wait_until_healthy) for member in gone))
            self._are_members_away = False

    async def _compact(self, _host: StormyHost) -> None:
        """Nobody who was away finds again what was changed meanwhile."""
        with suppress(StoreUnavailable):
            await self._etcd.compact(await self._etcd.revision())

    async def _fill(self, _host: StormyHost) -> None:
        """The disk of etcd: nothing that takes room is written."""
        with suppress(OSError):  # a member that is away cannot be told; it is another storm then
            await asyncio.to_thread(self.members[0].set_full, full=True)
        await asyncio.sleep(self._chance.choice([0.5, _LOST_S]))
        await self._emptied()

    async def _emptied(self) -> None:
        while True:
            with suppress(OSError):
                return await asyncio.to_thread(self.members[0].set_full, full=False)
            await asyncio.sleep(0.1)

    async def _is_still_there(self, host: StormyHost) -> bool:
        """Whether it could not be forgotten yet, as its lease goes on."""
        try:
            await self._store.remove_host(host.name)
        except HostNotFound:
            return False  # it had said nothing of itself yet
        except ClusterError:
            return True
        return False

    async def _set_clock(self, host: StormyHost) -> None:
        """To another hour, as seen by a controller that is started again."""
        host.kill()
        host.clock_s = self._chance.choice([-7200.0, 7200.0])
        host.start()

    async def _forget(self, host: StormyHost) -> None:
        """It is stopped, forgotten and its node placed elsewhere; then it goes on where it was."""
        host.signal(signal.SIGSTOP)
        other = next(of for of in self._hosts.values() if of is not host)
        while await self._is_still_there(host):
            await asyncio.sleep(0.2)
        where = dict(zip(NODES, HOSTS, strict=True)) | {NODES[HOSTS.index(host.name)]: other.name}

        def moved(record: ClusterRecord) -> ClusterRecord:
            return changes.with_spec(record, CLUSTER, spec_over(where))

        await self._edit(moved)
        await asyncio.sleep(self._chance.choice([0.0, 1.0]))
        host.signal(signal.SIGCONT)

    # What holds.

    async def is_alive(self, name: str) -> bool | None:
        """Whether etcd holds the host's lease; None where nobody can tell."""
        if self._are_members_away:
            return None
        try:
            (found,) = await self._etcd.read(one(keys.ALIVE + name.encode()))
        except StoreUnavailable:
            return None
        return bool(found.kvs) or (None if self._are_members_away else False)

    async def _until_converged(self) -> ClusterRecord:
        while not self.violations:
            with suppress(StoreUnavailable):
                entry = await self._store.standing(CLUSTER)
                status = entry.status if entry else None
                is_done = status is not None and status.converged and entry is not None
                if is_done and status.observed_generation >= entry.record.generation:  # type: ignore[union-attr]
                    return entry.record  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
        raise AssertionError(self.violations)

    async def _calm(self) -> None:
        try:
            async with asyncio.timeout(_CALM_S):
                await self._until_settled()
        except TimeoutError:
            status = await self._patiently(lambda: self._store.status(CLUSTER))
            raise AssertionError(f"no end: {status}") from None

    async def _until_settled(self) -> None:
        """Converged according to the hosts, and every machine is in its desired state."""
        while True:
            record = await self._until_converged()
            assert not self.violations, self.violations
            if not (wrong := [*self._differences(record)]):
                break
            self.note(f"said to be converged, but {wrong}")
            await asyncio.sleep(0.2)
        for host in self._hosts.values():
            cuts = {of: count for of, count in host.machine.power_cuts.items() if count > 1}
            assert not cuts, f"host {host.name} cut power twice for one request: {cuts}"
            taken = {of: count for of, count in host.machine.taken.items() if count > 1}
            assert not taken, f"host {host.name} took a snapshot twice for one request: {taken}"
        history = await self._patiently(lambda: self._store.history(CLUSTER))
        assert [of.generation for of in history] == list(range(1, record.generation + 1)), "a change is missing"
        made = {of.generation: of.actor for of in history}
        lost = {generation: actor for generation, actor in self._written.items() if made.get(generation) != actor}
        assert not lost, f"changes were answered and are lost, or are another's: {lost}"
        (*_, (_, last)) = documents(history)
        assert last == record.model_dump(mode="json", exclude={"generation"}), "the history does not lead to the record"

    def _differences(self, record: ClusterRecord) -> Iterator[str]:
        for name, of in record.spec.nodes.items():
            there = [host.name for host in self._hosts.values() if isinstance(host.machine.domains.get(name), Domain)]
            if there != [of.host]:
                yield f"{name} is on {there}, not on {of.host}"
                continue
            power = self._hosts[of.host].machine.power[name]
            wanted = PowerState.RUNNING if record.nodes[name].power is WantedPower.RUNNING else PowerState.OFF
            if not isinstance(power, Power) or power.state is not wanted:
                yield f"{name} is {power}, not {wanted}"
        for host in self._hosts.values():
            if host.machine.journals:
                yield f"host {host.name} has half a snapshot {host.machine.journals}"
            has_nodes = any(of.host == host.name for of in record.spec.nodes.values())
            if has_nodes and host.machine.snapshots.keys() != record.snapshots.keys():
                yield f"host {host.name} has snapshots {sorted(host.machine.snapshots)}, not {sorted(record.snapshots)}"


def main() -> int:
    """Run storms and tell of those that broke something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="write and rage for so long in each")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    directory = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with directory as top, running_members(Path(top), arguments=FORGETFUL) as members, asyncio.Runner() as runner:
        storms = (Storm(seed, members, Path(top, str(seed)), arguments.soak) for seed in seeds)
        broken = [storm.seed for storm in storms if not _held(storm, runner)]
    print(f"{len(broken)} of {arguments.seeds} broken: {broken}")
    return 1 if broken else 0


def _held(storm: Storm, runner: asyncio.Runner) -> bool:
    """Run one storm and tell of it; whether all promises were kept."""
    began_s = time.monotonic()
    try:
        runner.run(storm.run())
    except AssertionError as error:
        logs = [f"--- {log.parent.name}\n{log.read_text()}" for log in sorted(storm.directory.glob("*/log"))]
        print(f"seed {storm.seed} BROKEN: {error}", *storm.story, *logs, sep="\n    ", flush=True)
        return False
    happened = "; ".join(of.partition(": ")[2] for of in storm.story if " on host " in of)
    print(f"seed {storm.seed}: {time.monotonic() - began_s:.1f} s: {happened}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
