"""A cluster to look at: real use cases, controller, store and door, above a host that is only said to be there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.act.context import ActContext
from reconciler.act.outcome import Outcome
from reconciler.controller import looks
from reconciler.controller import round as rounds
from reconciler.controller.conditions import status_after
from reconciler.errors import ClusterError, SshTimeout
from reconciler.frontends.mcp.server_options import HttpPlace
from reconciler.frontends.web.door import OpenDoor, opened_door
from reconciler.health.node_probe import Probe
from reconciler.host.libvirt.libvirt_driver import FoundDomain
from reconciler.model import names
from reconciler.model.document import ClusterDocument, Power, PowerState
from reconciler.model.plan import CutPower, Plan
from reconciler.model.record import EVERYTHING, ClusterRecord, NodeIntent, SnapshotIntent, WantedPower
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.observe.clean_kernels import KernelState
from reconciler.records.stored_records import select_nodes
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases import clusters, inspection
from tests.kvm_verdict import give_kvm_verdict
from tests.libvirt_socket import silent_libvirt
from tests.simulation.worlds import as_wanted, cluster_spec, node_spec

CLUSTER = "lab"
THREE = ("alpha", "beta", "gamma")


def shown_record(
    overlay_dir: Path, nodes: tuple[str, ...], cluster: str = CLUSTER, snapshots: tuple[str, ...] = ()
) -> ClusterRecord:
    """A record with these nodes, all of which should run, and these snapshots."""
    specs = {
        node: node_spec(number).model_copy(
            update={
                "role": "db" if number else "control",
                "ip": IPv4Address("192.168.77.10") + number if number < 240 else IPv4Address("192.168.78.0") + number,
                "mac": names.mac_address(CLUSTER, node),
                "tap": names.tap_name(CLUSTER, node),
            }
        )
        for number, node in enumerate(nodes)
    }
    return ClusterRecord(
        cluster_name=cluster,
        spec=cluster_spec(specs).model_copy(update={"overlay_dir": overlay_dir}),
        nodes={node: NodeIntent(power=WantedPower.RUNNING) for node in nodes},
        consent=(EVERYTHING,),
        snapshots={name: SnapshotIntent(request=number) for number, name in enumerate(snapshots, 1)},
        snapshot_requests=len(snapshots),
    )


class ShownLab:
    """What the host is said to be like. A power cut lasts until `boot` is set."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime = runtime
        self.there = ClusterDocument()
        self.boot = asyncio.Event()
        self.boot.set()
        self.silent: set[str] = set()
        self.overlay_dir = runtime.settings.state_dir / "overlays"
        self._made(monkeypatch)

    async def define(self, *nodes: str, cluster: str = CLUSTER, snapshots: tuple[str, ...] = ()) -> ClusterRecord:
        """A cluster that is as desired."""
        desired = shown_record(self.overlay_dir, nodes or THREE, cluster, snapshots)
        record = await self.runtime.store.put(desired, expected_generation=0, actor="test")
        self.there = as_wanted(record)
        status = status_after(record, self.there, Plan(), (), None, datetime.now(UTC))
        done = {"settled_generation": record.generation, "snapshots_made": frozenset(range(1, len(snapshots) + 1))}
        await self.runtime.store.put_status(status.model_copy(update=done))
        return record

    def turn(self, node: str, state: PowerState) -> None:
        """Have a node be in another state, as if the host had done that."""
        power = self.there.power[node]
        assert isinstance(power, Power)
        changed = power.model_copy(update={"state": state})
        self.there = self.there.model_copy(update={"power": {**self.there.power, node: changed}})

    def print_on_console(self, node: str, text: str) -> None:
        """Have a node say something on its console."""
        path = names.console_path(self.overlay_dir, CLUSTER, node)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as console:
            console.write(text)

    @asynccontextmanager
    async def door(self, *, allow_actions: bool = False, host: str = "127.0.0.1") -> AsyncIterator[OpenDoor]:
        """The door to it, on any port."""
        async with opened_door(
            self.runtime, HttpPlace(host, 0), lambda text, _: text, allow_actions=allow_actions
        ) as opened:
            yield opened

    def _made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def find_domains(_: str) -> Mapping[str, Any]:
            marked: Any = SimpleNamespace(domain=SimpleNamespace(virt_type="qemu"))
            return {
                node: FoundDomain(marked, of.state, True, halt=of.halt)
                for node, of in self.there.power.items()
                if isinstance(of, Power)
            }

        async def observe(*_: object) -> ClusterDocument:
            return self.there

        async def carry_out(todo: Plan, context: ActContext) -> list[Outcome]:
            for action in todo.actions:
                if isinstance(action, CutPower):
                    self.turn(action.node, PowerState.OFF)
            await self.boot.wait()
            self.there = as_wanted(context.record, self.there)
            return [Outcome(action, 0.0) for action in todo.actions]

        async def visit(_runtime: Runtime, _record: object, node: str, _timeout_s: float) -> Probe | ClusterError:
            if node in self.silent:
                return SshTimeout(f"no SSH login to {node}", node=node)
            return Probe((), KernelState(_fine(ConditionType.KERNEL_HEALTHY)), _fine(ConditionType.PROVISIONED))

        async def reached(_runtime: Runtime, record: ClusterRecord, wanted: list[str]) -> None:
            select_nodes(record, wanted)

        async def nothing(*_: object) -> Any:
            return []

        monkeypatch.setattr(self.runtime.libvirt, "find_domains", find_domains)
        monkeypatch.setattr(self.runtime, "start_healer", nothing)
        monkeypatch.setattr(looks, "observe_cluster", observe)
        monkeypatch.setattr(looks, "revert_obstacles", nothing)
        monkeypatch.setattr(rounds, "carry_out", carry_out)
        monkeypatch.setattr(inspection, "probe", visit)
        monkeypatch.setattr(clusters, "addresses", reached)


def _fine(kind: ConditionType) -> Condition:
    return Condition(
        type=kind, status=ConditionStatus.TRUE, reason="Fine", last_transition=datetime(2026, 1, 1, tzinfo=UTC)
    )


@asynccontextmanager
async def shown_lab(directory: Path) -> AsyncIterator[ShownLab]:
    """A lab in a directory of its own."""
    give_kvm_verdict(directory)
    settings = Settings(
        state_dir=directory, fault_registry=directory / "faults.json", libvirt_uri=silent_libvirt(directory)
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with Runtime(settings) as runtime:
            yield ShownLab(runtime, monkeypatch)
