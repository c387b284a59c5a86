"""Several hosts that share a real etcd, each with the real store, controller and service above a simulated machine."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest

from reconciler.act import runner
from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.controller import leavers, looks, parts, status_writer
from reconciler.controller import round as rounds
from reconciler.controller.round_input import RoundInput
from reconciler.daemon.service import Scope, Service
from reconciler.errors import ClusterError
from reconciler.model.document import ClusterDocument
from reconciler.model.host import HostReport
from reconciler.model.plan import Action, Plan
from reconciler.model.record import ClusterRecord, ClusterSpec
from reconciler.model.status import HeldSnapshot
from reconciler.model.topology import VirtType
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases import clusters, placing
from reconciler.usecases.clusters import Clusters
from tests.etcd import RunningEtcd
from tests.libvirt_socket import silent_libvirt
from tests.simulation.host import SimulatedHost
from tests.simulation.machines import LocalMachine, perform
from tests.simulation.worlds import CLUSTER, NODES, cluster_spec, node_spec
from tests.waiting import PATIENCE_S

HOSTS = ("one", "two", "three")


def spec_over(hosts: Mapping[str, str]) -> ClusterSpec:
    """A cluster whose nodes are on these hosts."""
    placed = {"virt_type": VirtType.QEMU}
    return cluster_spec(
        {node: node_spec(NODES.index(node)).model_copy(update={**placed, "host": host}) for node, host in hosts.items()}
    )


class Member:
    """One host: its process, which can be ended and started again, and its machine, which stays."""

    def __init__(self, name: str, etcd: RunningEtcd, directory: Path) -> None:
        directory.mkdir()
        self.name = name
        self.machine = SimulatedHost(ClusterDocument(), Random(name))
        self.actions: list[Action] = []
        self.refusal: ClusterError | None = None
        self.settings = Settings(
            store=str(etcd.address),
            host_name=name,
            state_dir=directory,
            fault_registry=directory / "faults.json",
            libvirt_uri=silent_libvirt(directory),
        )
        self.runtime: Runtime | None = None
        self._report = HostReport(
            name=name,
            address=IPv4Address("10.0.0.1") + HOSTS.index(name),
            version="test",
            vcpus=8,
            memory_mb=65536,
            disk_bytes=2**40,
            disk_free_bytes=2**40,
            kvm_usable=False,
        )
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @property
    def verbs(self) -> Clusters:
        """The use cases, called on this host."""
        assert self.runtime is not None
        return Clusters(self.runtime, actor="test")

    async def start(self, *, service: bool = True) -> None:
        runtime = self.runtime = Runtime(self.settings)
        await runtime.store.membership().enter()
        await runtime.store.put_host(self._report)
        if service:
            self._stop.clear()
            lease, host = runtime.lease("watch"), runtime.host_lease("watch")
            keeper = Service(
                runtime.store, runtime.rounds, lease, host, runtime.libvirt.connection, Scope(resync_s=1.0)
            )
            self._serving = asyncio.create_task(keeper.run(self._stop))

    async def stop(self) -> None:
        if self._serving is not None:
            self._stop.set()
            await self._serving
            self._serving = None
        if self.runtime is not None:
            await self.runtime.__aexit__()
            self.runtime = None

    def nodes(self) -> set[str]:
        """The nodes that have a machine here."""
        return set(self.machine.domains)


class Hosts(dict[str, Member]):
    """All hosts, by name."""

    def __init__(self, etcd: RunningEtcd, directory: Path, names: Iterable[str] = HOSTS) -> None:
        super().__init__({name: Member(name, etcd, directory / name) for name in names})
        self._stack = AsyncExitStack()
        self.spec = spec_over(dict(zip(NODES, self, strict=False)))

    def simulate(self, monkeypatch: pytest.MonkeyPatch) -> Self:
        """Let every round look at, and act on, the simulated machine of its host."""

        async def observe(record: ClusterRecord, libvirt: object, *_: object) -> ClusterDocument:
            return await LocalMachine(self._with(libvirt).machine).observe(record)

        async def carry_out(todo: Plan, context: ActContext) -> list[Outcome]:
            member = self._with(context.libvirt)
            member.machine.record = context.record

            async def on_machine(action: Action, context: ActContext) -> None:
                member.actions.append(action)
                await perform(action, context, LocalMachine(member.machine, member.refusal))

            return await runner.carry_out(todo, context, on_machine)

        async def held(view: RoundInput) -> tuple[HeldSnapshot, ...]:
            return await LocalMachine(self[view.host].machine).held()

        async def load(*_: Any) -> tuple[str, ClusterSpec]:
            return CLUSTER, self.spec

        monkeypatch.setattr(leavers, "start_leaver", lambda *_: None)  # it would work on the real host
        monkeypatch.setattr(looks, "observe_cluster", observe)

        async def possible(*_: object) -> list[str]:
            return []

        monkeypatch.setattr(rounds, "carry_out", carry_out)
        monkeypatch.setattr(looks, "revert_obstacles", possible)  # which reads the files of a snapshot
        monkeypatch.setattr(clusters, "load_for_host", load)
        monkeypatch.setattr(placing, "digest_of_image", lambda *_: "")
        monkeypatch.setattr(status_writer, "_held", held)
        monkeypatch.setattr(parts, "read_manifests", lambda *_: [])
        return self

    def _with(self, libvirt: object) -> Member:
        return next(of for of in self.values() if of.runtime is not None and of.runtime.libvirt is libvirt)

    async def __aenter__(self) -> Self:
        for member in self.values():
            await member.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.values():
            await member.stop()


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    """Return when it holds; fail if it does not in time."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.02)
